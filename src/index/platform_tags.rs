//! The platform part of wheel tags: which a machine accepts, and what system one asks for.

use crate::types::{Arch, Libc, Os, Target};

/// Platform tags, most specific first.
pub(super) fn platform_tags(target: &Target) -> Vec<String> {
    match target.os {
        Os::Linux => linux_tags(target.arch, target.libc),
        Os::Macos => target
            .macos
            .map(|version| macos_tags(target.arch, version))
            .unwrap_or_default(),
        Os::Windows => vec![
            match target.arch {
                Arch::X86_64 => "win_amd64",
                Arch::Aarch64 => "win_arm64",
            }
            .to_owned(),
        ],
    }
}

/// The names that manylinux had before they told the glibc version (PEP 513, 571, 599).
const LEGACY_MANYLINUX: [(&str, u16); 3] = [
    ("manylinux2014", 17),
    ("manylinux2010", 12),
    ("manylinux1", 5),
];

fn linux_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64",
        Arch::Aarch64 => "aarch64",
    }
}

/// The glibc version that a manylinux tag of this processor asks for.
pub(super) fn glibc_of(tag: &str, arch: Arch) -> Option<(u16, u16)> {
    let name = tag.strip_suffix(linux_arch(arch))?.strip_suffix('_')?;
    if let Some((_, minor)) = LEGACY_MANYLINUX.iter().find(|(legacy, _)| *legacy == name) {
        return Some((2, *minor));
    }
    two_numbers(name.strip_prefix("manylinux_")?)
}

/// The macOS version that a tag of this processor asks for.
pub(super) fn macos_of(tag: &str, arch: Arch) -> Option<(u16, u16)> {
    let rest = tag.strip_prefix("macosx_")?;
    macos_formats(arch)
        .iter()
        .find_map(|format| two_numbers(rest.strip_suffix(format)?.strip_suffix('_')?))
}

/// `2_28` as `(2, 28)`.
fn two_numbers(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('_')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn linux_tags(arch: Arch, libc: Option<Libc>) -> Vec<String> {
    let arch_name = linux_arch(arch);
    let mut tags = Vec::new();
    match libc {
        Some(Libc::Glibc { major: 2, minor }) => {
            // The oldest glibc that manylinux knows for the architecture.
            let oldest = match arch {
                Arch::X86_64 => 5,
                Arch::Aarch64 => 17,
            };
            for minor in (oldest..=minor).rev() {
                tags.push(format!("manylinux_2_{minor}_{arch_name}"));
                let legacy = LEGACY_MANYLINUX.iter().find(|(_, of)| *of == minor);
                tags.extend(legacy.map(|(legacy, _)| format!("{legacy}_{arch_name}")));
            }
        }
        Some(Libc::Musl { major, minor }) => {
            tags.extend(
                (0..=minor)
                    .rev()
                    .map(|minor| format!("musllinux_{major}_{minor}_{arch_name}")),
            );
        }
        Some(Libc::Glibc { .. }) | None => {}
    }
    tags.push(format!("linux_{arch_name}"));
    tags
}

/// Processor names of macOS tags that a processor accepts, most specific first.
fn macos_formats(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &[
            "x86_64",
            "intel",
            "fat64",
            "fat32",
            "universal2",
            "universal",
        ],
        Arch::Aarch64 => &["arm64", "universal2"],
    }
}

/// macOS 11 and later count by major version; 10.x by minor. Wheels for an older system run on a
/// newer one; on Apple silicon those for 10.x only when they are universal.
fn macos_tags(arch: Arch, (major, minor): (u16, u16)) -> Vec<String> {
    let formats = macos_formats(arch);
    let mut tags = Vec::new();
    let mut push = |version: (u16, u16), formats: &[&str]| {
        let (major, minor) = version;
        tags.extend(
            formats
                .iter()
                .map(|format| format!("macosx_{major}_{minor}_{format}")),
        );
    };
    for major in (11..=major.min(99)).rev() {
        push((major, 0), formats);
    }
    let newest_ten = if major >= 11 { 16 } else { minor.min(16) };
    let formats_ten = match arch {
        Arch::X86_64 => formats,
        Arch::Aarch64 => &["universal2"],
    };
    if major >= 10 {
        for minor in (4..=newest_ten).rev() {
            push((10, minor), formats_ten);
        }
    }
    tags
}
