//! The operating system and what is around it.

use super::{
    Known, Release, release,
    scan::{Scan, pattern},
};
use crate::{
    doctor::{
        evidence::Evidence,
        text::{Line, Origin},
    },
    types::Os,
};

/// Families of Linux distributions that install packages alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distro {
    /// Debian, Ubuntu, Mint, Pop!_OS: apt.
    Debian,
    /// Fedora, RHEL and its rebuilds: dnf.
    Fedora,
    /// Arch, Manjaro: pacman.
    Arch,
    /// openSUSE, SLES: zypper.
    Suse,
    /// Another one.
    Other,
}

/// The system the failure happened on.
#[derive(Debug, Default)]
pub struct System {
    /// Family.
    pub os: Option<Os>,
    /// Below Windows.
    pub wsl: Option<Known<()>>,
    /// In a container.
    pub container: Option<Known<()>>,
    /// Distribution.
    pub distro: Option<Distro>,
    /// 64-bit Arm.
    pub arm: Option<Known<()>>,
    /// Apple's own processors.
    pub apple_silicon: Option<Known<()>>,
    /// macOS version.
    pub macos: Option<Known<Release>>,
    /// Windows build number: `19042`.
    pub windows_build: Option<Known<u32>>,
    /// C library version.
    pub glibc: Option<Known<Release>>,
}

impl System {
    pub(super) fn of(evidence: &Evidence, scan: &Scan<'_>) -> Self {
        let said = |text: &str| {
            let os = evidence.os.as_deref().unwrap_or_default();
            os.to_lowercase().contains(text).then(|| Known {
                value: (),
                quote: format!("os: {os}"),
            })
        };
        let place = |pattern| scan.first(pattern, |_| Some(()));
        let macos = macos(scan);
        let mut system = Self {
            wsl: said("wsl").or_else(|| {
                place(pattern!(
                    r"(?i)\bwsl ?[12]?\b|microsoft-standard|-microsoft(?:-|\b)|/mnt/[a-e]/|windows subsystem for linux|/usr/lib/wsl|\blxss\b|rocr4wsl|rocdxg|no wddm adapters"
                ))
            }),
            container: said("container").or_else(|| {
                place(pattern!(
                    r"(?i)\b(?:docker|podman|singularity|apptainer|kubernetes|k8s|kubelet|containerd|dockerfile|compose\.ya?ml|docker-compose|runpod|nvcr\.io|enroot|pyxis|lxc|container(?:_cuda|ised|ized)?)\b"
                ))
            }),
            distro: distro(scan),
            arm: place(pattern!(
                r"(?i)\b(?:aarch64|arm64|linux_aarch64|sbsa|jetson|gb200|gh200|gb10|dgx spark|grace|l4t|jetpack)\b"
            )),
            apple_silicon: place(pattern!(
                r"(?i)\b(?:apple (?:m[1-6]|silicon)|m[1-6] (?:pro|max|ultra|mac)|macbook[^\n]{0,20} m[1-6]|arm64 \(?mac|macos[^\n]{0,30}arm64|macosx_[0-9_]+_arm64|darwin[^\n]{0,20}arm64|rosetta)\b|\(arm64\)[^\n]{0,20}mac|chip\W{1,3}(?:apple )?m[1-6]\b"
            )),
            windows_build: scan.first(
                pattern!(r"(?i)\b(?:10\.0\.|windows[^\n]{0,24}build[ :]{1,2}|(?:windows_)?build(?: number)?[ :]{1,2}(?:10\.0\.)?|os build )(1[6-9][0-9]{3}|2[0-9]{4})\b"),
                |found| found[1].parse().ok(),
            ),
            glibc: scan.first(
                pattern!(r"(?i)\b(?:g?libc(?: version)?|ldd \([^)]*\)|gnu libc\))[ :=_-]{1,3}\(?(2\.[0-9]{1,2})\b"),
                |found| release(&found[1]),
            ),
            macos,
            os: None,
        };
        // A Windows build number beside a Linux distribution is WSL.
        let linux = system.distro.is_some()
            || scan
                .first(pattern!(r"(?i)\bkernel\W{1,3}[3-9]\.[0-9]"), |_| Some(()))
                .is_some();
        if system.wsl.is_none() && linux {
            system.wsl = system.windows_build.as_ref().map(|build| Known {
                value: (),
                quote: build.quote.clone(),
            });
        }
        system.os = system.family(evidence, scan);
        system
    }

    /// Windows or macOS by what only they say; Linux by the rest.
    fn family(&self, evidence: &Evidence, scan: &Scan<'_>) -> Option<Os> {
        let said = evidence.os.as_deref().unwrap_or_default().to_lowercase();
        for (word, os) in [
            ("windows", Os::Windows),
            ("win", Os::Windows),
            ("mac", Os::Macos),
            ("darwin", Os::Macos),
            ("linux", Os::Linux),
            ("wsl", Os::Linux),
            ("container", Os::Linux),
        ] {
            if said.starts_with(word) {
                return Some(os);
            }
        }
        if self.wsl.is_some() {
            return Some(Os::Linux);
        }
        let linux = pattern!(
            r"(?i)\b(?:linux|ubuntu|debian|fedora|centos|rhel|arch linux|manjaro|opensuse|nixos|gentoo|rocky|almalinux|pop!_os|glibc|systemd|dkms|apt(?:-get)?|dnf|pacman)\b|\.so\b|/usr/lib|/home/"
        );
        let windows = pattern!(
            r"(?i)\b(?:windows(?: ?1[01]| server)?|winerror|win_amd64|win32|powershell|cmd\.exe|\.dll|\.pyd|[c-e]:\\)|\.dll\b|\b[c-e]:[\\/]|os error 1455|appdata|python_embeded"
        );
        let macos = pattern!(
            r"(?i)\b(?:macos|mac os x?|osx|darwin|homebrew|dyld|\.dylib|apple m[1-6]|macbook|mac ?(?:mini|studio|pro)|sw_vers|macosx_[0-9]+)\b|\bmps\b|/opt/homebrew"
        );
        // The weaker word decides last: a Linux log may well speak of Windows.
        [
            (linux, Os::Linux),
            (macos, Os::Macos),
            (windows, Os::Windows),
        ]
        .into_iter()
        .map(|(pattern, os)| {
            // What somebody wrote down counts for more than a word in a log.
            let weight = |line: &Line| if line.origin == Origin::Fact { 4 } else { 1 };
            let weight: usize = scan.all(pattern).map(|(_, place)| weight(place.line)).sum();
            (weight, os)
        })
        .filter(|(count, _)| *count > 0)
        .max_by_key(|(count, _)| *count)
        .map(|(_, os)| os)
    }

    /// Whether this is Linux and not below Windows.
    pub fn is_bare_linux(&self) -> bool {
        self.os == Some(Os::Linux) && self.wsl.is_none()
    }
}

fn macos(scan: &Scan<'_>) -> Option<Known<Release>> {
    scan.first(
        pattern!(
            r"(?i)\b(?:macos|mac os x?|os x|productversion)[ :\x22(]{0,4}(?:big sur|monterey|ventura|sonoma|sequoia|tahoe)?[ :\x22(]{0,3}(1[0-9]|2[6-9])\.([0-9]{1,2})(?:\.[0-9]+)?\b[^+\n]"
        ),
        |found| Some((found[1].parse().ok()?, found[2].parse().ok()?)),
    )
    .or_else(|| {
        scan.first(
            pattern!(r"(?i)\b(?:macos|mac os x?)[ :\x22(]{0,4}(?:big sur|monterey|ventura|sonoma|sequoia|tahoe)?[ :]{0,2}(1[0-9]|2[6-9])(?:\.([0-9]{1,2})(?:\.[0-9]+)?)?(?:$|[^0-9.+])"),
            |found| {
                let minor = found.get(2).map_or(Ok(0), |m| m.as_str().parse());
                Some((found[1].parse().ok()?, minor.ok()?))
            },
        )
    })
    .or_else(|| {
        scan.first(
            pattern!(r"(?i)\b(big sur|monterey|ventura|sonoma|sequoia)\b"),
            |found| {
                let named = ["big sur", "monterey", "ventura", "sonoma", "sequoia"];
                let place = named.iter().position(|n| found[1].eq_ignore_ascii_case(n))?;
                // Only the first of these has no MPS in any of its releases.
                (place == 0).then_some((11, 0))
            },
        )
    })
}

fn distro(scan: &Scan<'_>) -> Option<Distro> {
    let found = pattern!(
        r"(?i)\b(ubuntu|debian|mint|pop!?_?os|fedora|centos|rhel|red hat|rocky|alma(?:linux)?|oracle linux|amazon linux|arch(?: linux)|manjaro|endeavouros|cachyos|opensuse|suse|sles|nixos|gentoo|apt(?:-get)? install|dnf install|pacman -|zypper)"
    );
    let (captures, _) = scan.all(found).next()?;
    let name = captures[1].to_lowercase();
    Some(match name.as_str() {
        "ubuntu" | "debian" | "mint" => Distro::Debian,
        "fedora" | "centos" | "rhel" | "red hat" | "rocky" => Distro::Fedora,
        "manjaro" | "endeavouros" | "cachyos" => Distro::Arch,
        "opensuse" | "suse" | "sles" | "zypper" => Distro::Suse,
        other if other.starts_with("pop") || other.starts_with("apt") => Distro::Debian,
        other if other.starts_with("arch") || other.starts_with("pacman") => Distro::Arch,
        other if other.starts_with("nix") || other.starts_with("gentoo") => Distro::Other,
        _ => Distro::Fedora,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::text::lines_of;

    fn of(text: &str) -> System {
        let evidence = Evidence::from_text(text);
        let lines = lines_of(&evidence);
        System::of(&evidence, &Scan::new(&lines))
    }

    #[test]
    fn systems_are_told_from_what_they_say() {
        assert_eq!(of("OSError: [WinError 126]").os, Some(Os::Windows));
        assert_eq!(of("dyld: Library not loaded").os, Some(Os::Macos));
        assert_eq!(of("libcuda.so.1: cannot open").os, Some(Os::Linux));
        let wsl = of("Linux 5.15.90.1-microsoft-standard-WSL2, Windows build 10.0.19042.1052");
        assert!(wsl.wsl.is_some() && !wsl.is_bare_linux());
        assert_eq!(wsl.windows_build.unwrap().value, 19042);
        assert_eq!(of("macos: 12.2.1 (arm64)").macos.unwrap().value, (12, 2));
        assert_eq!(of("macOS 13").macos.unwrap().value, (13, 0));
        assert!(of("supported on MacOS 13.0+.Current").macos.is_none());
        assert_eq!(of("distro: Fedora 43").distro, Some(Distro::Fedora));
        assert_eq!(of("glibc: 2.28").glibc.unwrap().value, (2, 28));
        assert!(of("docker: Error response from daemon").container.is_some());
        assert_eq!(of("hello").os, None);
    }
}
