//! Whether a wheel can be installed, by its name: PEP 425 (tags), 600 (manylinux), 656 (musllinux).
//! An implementation apart from the solver's.

use aienv::{
    host::Host,
    types::{Arch, Libc, Os, PythonVersion},
};

/// Whether a wheel of this name runs on a host's CPython.
pub fn installable(file_name: &str, host: &Host, python: PythonVersion) -> bool {
    let Some(stem) = file_name.strip_suffix(".whl") else {
        return false;
    };
    let parts: Vec<&str> = stem.split('-').collect();
    let [.., pythons, abis, platforms] = &parts[..] else {
        return false;
    };
    if !matches!(parts.len(), 5 | 6) {
        return false;
    }
    let on_platform = platforms.split('.').any(|tag| platform(tag, host));
    let on_python = pythons
        .split('.')
        .any(|tag| abis.split('.').any(|abi| runs(tag, abi, python)));
    on_platform && on_python
}

/// Whether code for a Python tag and ABI runs on CPython.
fn runs(tag: &str, abi: &str, python: PythonVersion) -> bool {
    let (implementation, digits) =
        tag.split_at(tag.find(|c: char| c.is_ascii_digit()).unwrap_or(0));
    let (Some(major), minor) = (
        digits.get(..1).and_then(|d| d.parse::<u8>().ok()),
        digits.get(1..),
    ) else {
        return false;
    };
    let minor = match minor {
        None | Some("") => None,
        Some(text) => match text.parse::<u8>() {
            Ok(minor) => Some(minor),
            Err(_) => return false,
        },
    };
    if major != python.major || minor.is_some_and(|minor| minor > python.minor) {
        return false;
    }
    let same = minor == Some(python.minor);
    match (implementation, abi) {
        ("py", "none") => true,
        ("cp", "none") => same || minor.is_none(),
        ("cp", "abi3") => minor.is_some(),
        ("cp", abi) => same && abi == format!("cp{}{}", python.major, python.minor),
        _ => false,
    }
}

/// Whether code for a platform tag runs on a host.
fn platform(tag: &str, host: &Host) -> bool {
    if tag == "any" {
        return true;
    }
    match host.os.family {
        Os::Windows => match host.cpu.arch {
            Arch::X86_64 => tag == "win_amd64",
            Arch::Aarch64 => tag == "win_arm64",
        },
        Os::Linux => linux(tag, host),
        Os::Macos => macos(tag, host),
    }
}

fn linux(tag: &str, host: &Host) -> bool {
    let arch = match host.cpu.arch {
        Arch::X86_64 => "_x86_64",
        Arch::Aarch64 => "_aarch64",
    };
    let Some(system) = tag.strip_suffix(arch) else {
        return false;
    };
    let needs = match system {
        "linux" => return true,
        "manylinux1" => ("many", (2, 5)),
        "manylinux2010" => ("many", (2, 12)),
        "manylinux2014" => ("many", (2, 17)),
        other => {
            let Some((kind, version)) = other.split_once("linux_") else {
                return false;
            };
            match numbers(version) {
                Some(version) => (kind, version),
                None => return false,
            }
        }
    };
    match (needs, host.os.libc) {
        (("many", needed), Some(Libc::Glibc { major, minor })) => needed <= (major, minor),
        (("musl", needed), Some(Libc::Musl { major, minor })) => needed <= (major, minor),
        _ => false,
    }
}

fn macos(tag: &str, host: &Host) -> bool {
    let Some(rest) = tag.strip_prefix("macosx_") else {
        return false;
    };
    let mut parts = rest.splitn(3, '_');
    let (Some(major), Some(minor), Some(format)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Ok(major), Ok(minor)) = (major.parse::<u16>(), minor.parse::<u16>()) else {
        return false;
    };
    let mut own = host
        .os
        .version
        .split('.')
        .map(|part| part.parse::<u16>().unwrap_or(0));
    let own = (own.next().unwrap_or(0), own.next().unwrap_or(0));
    let fits = match host.cpu.arch {
        Arch::X86_64 => ["x86_64", "universal2", "universal", "intel", "fat64"].contains(&format),
        Arch::Aarch64 => ["arm64", "universal2"].contains(&format),
    };
    fits && (major, minor) <= own
}

/// `2_28` as two numbers.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('_')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::machines;

    #[test]
    fn wheels_and_machines() {
        let machines = machines();
        let host = |name: &str| {
            &machines
                .iter()
                .find(|m| m.name.contains(name))
                .unwrap()
                .host
        };
        let python = PythonVersion::new(3, 12);
        for (name, tags, fits) in [
            ("Debian 12", "py3-none-any", true),
            ("Debian 12", "cp312-cp312-manylinux_2_28_x86_64", true),
            ("Debian 12", "cp312-cp312-manylinux_2_39_x86_64", false),
            (
                "Debian 12",
                "cp38-abi3-manylinux1_x86_64.manylinux_2_99_x86_64",
                true,
            ),
            ("Debian 12", "cp313-cp313-manylinux_2_28_x86_64", false),
            ("Debian 12", "cp312-cp312t-manylinux_2_28_x86_64", false),
            ("Debian 12", "cp311-none-any", false),
            ("Debian 12", "py2.py3-none-any", true),
            ("Debian 12", "py2-none-any", false),
            ("Debian 12", "cp312-cp312-musllinux_1_2_x86_64", false),
            (
                "CentOS 7 (glibc 2.17)",
                "cp312-cp312-manylinux2014_x86_64",
                true,
            ),
            (
                "CentOS 7 (glibc 2.17)",
                "cp312-cp312-manylinux_2_28_x86_64",
                false,
            ),
            (
                "container, Alpine",
                "cp312-cp312-musllinux_1_1_x86_64",
                true,
            ),
            ("container, Alpine", "cp312-cp312-manylinux1_x86_64", false),
            ("Raspberry Pi 5", "cp312-cp312-manylinux_2_28_x86_64", false),
            ("Raspberry Pi 5", "cp312-cp312-linux_aarch64", true),
            (
                "Intel Mac, macOS 13",
                "cp312-cp312-macosx_10_9_universal2",
                true,
            ),
            (
                "Intel Mac, macOS 13",
                "cp312-cp312-macosx_14_0_x86_64",
                false,
            ),
            (
                "Intel Mac, macOS 13",
                "cp312-cp312-macosx_11_0_arm64",
                false,
            ),
            ("M1, macOS 12", "cp312-cp312-macosx_11_0_arm64", true),
            ("M1, macOS 12", "cp312-cp312-macosx_14_0_arm64", false),
            ("desktop, Windows 11", "cp312-cp312-win_amd64", true),
            ("desktop, Windows 11", "cp312-cp312-win32", false),
            ("Snapdragon", "cp312-cp312-win_amd64", false),
        ] {
            let wheel = format!("demo-1.0-{tags}.whl");
            assert_eq!(
                installable(&wheel, host(name), python),
                fits,
                "{name}: {tags}"
            );
        }
    }
}
