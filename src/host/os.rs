//! The operating system: distribution, kernel, C library.
//!
//! On Linux everything comes from files, but for one short cut: a process linked to glibc asks
//! glibc itself. A program built for another C library (or a fixture) reads the version out of
//! the library's own bytes, where glibc keeps its banner and musl its version string.

use super::{OsInfo, Unread, root::Root};
#[cfg(any(test, not(any(target_os = "macos", windows))))]
pub(super) use linux::detect as detect_linux;

/// Facts about this machine's operating system.
#[cfg(not(any(target_os = "macos", windows)))]
pub(super) fn detect(root: &Root, unread: &mut Vec<Unread>) -> OsInfo {
    detect_linux(root, unread)
}

/// Facts about this machine's operating system.
#[cfg(target_os = "macos")]
pub(super) fn detect(_root: &Root, unread: &mut Vec<Unread>) -> OsInfo {
    use crate::platform::sysctl;

    let mut text = |name: &str| {
        sysctl::text(name)
            .map_err(|error| unread.push(Unread::new(name, error)))
            .ok()
    };
    let version = text("kern.osproductversion").unwrap_or_default();
    OsInfo {
        family: crate::types::Os::Macos,
        id: "macos".to_owned(),
        name: format!("macOS {version}").trim_end().to_owned(),
        version,
        kernel: text("kern.osrelease"),
        libc: None,
        // The name does not exist on an Intel Mac.
        rosetta: sysctl::number("sysctl.proc_translated").is_ok_and(|v| v == 1),
    }
}

/// Facts about this machine's operating system.
#[cfg(windows)]
pub(super) fn detect(_root: &Root, unread: &mut Vec<Unread>) -> OsInfo {
    const KEY: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let key = windows_registry::LOCAL_MACHINE
        .open(KEY)
        .map_err(|error| unread.push(Unread::new(format!(r"HKLM\{KEY}"), error)))
        .ok();
    let text = |name: &str| key.as_ref().and_then(|key| key.get_string(name).ok());
    let build = text("CurrentBuildNumber").unwrap_or_default();
    let version = format!("10.0.{build}").trim_end_matches('.').to_owned();
    OsInfo {
        family: crate::types::Os::Windows,
        id: "windows".to_owned(),
        name: windows_name(
            text("ProductName").as_deref(),
            text("DisplayVersion").as_deref(),
            build.parse().unwrap_or(0),
        ),
        kernel: Some(version.clone()),
        version,
        libc: None,
        rosetta: false,
    }
}

/// `Windows 11 24H2`. The product name still says `Windows 10` on Windows 11, whose builds start
/// at 22000; servers are named as they are.
#[cfg(any(test, windows))]
fn windows_name(product: Option<&str>, display_version: Option<&str>, build: u32) -> String {
    let name = match product {
        Some(product) if product.contains("Server") => product,
        _ if build >= 22000 => "Windows 11",
        _ => "Windows 10",
    };
    match display_version {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    }
}

#[cfg(any(test, not(any(target_os = "macos", windows))))]
mod linux {
    use super::{OsInfo, Root, Unread};
    use crate::types::{Libc, Os};

    /// Facts from `os-release`, `/proc` and the C library.
    pub(in crate::host) fn detect(root: &Root, unread: &mut Vec<Unread>) -> OsInfo {
        let release = root
            .read("/etc/os-release")
            .or_else(|_| root.read("/usr/lib/os-release"))
            .map(|text| OsRelease::parse(&text))
            .unwrap_or_else(|error| {
                unread.push(Unread::new("/etc/os-release", error));
                OsRelease::default()
            });
        let id = release.id.unwrap_or_else(|| "linux".to_owned());
        let libc = libc_version(root);
        if libc.is_none() {
            unread.push(Unread::new(
                "the C library",
                "neither glibc nor musl was found in the usual places",
            ));
        }
        OsInfo {
            family: Os::Linux,
            name: release
                .pretty_name
                .or(release.name)
                .unwrap_or_else(|| id.clone()),
            id,
            version: release.version_id.unwrap_or_default(),
            kernel: root.word("/proc/sys/kernel/osrelease"),
            libc,
            rosetta: false,
        }
    }

    /// The keys of `os-release(5)` that matter here.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub(super) struct OsRelease {
        pub(super) id: Option<String>,
        pub(super) name: Option<String>,
        pub(super) pretty_name: Option<String>,
        pub(super) version_id: Option<String>,
    }

    impl OsRelease {
        /// Reads shell-like assignments; lines that are not are skipped.
        pub(super) fn parse(text: &str) -> Self {
            let mut release = Self::default();
            for line in text.lines() {
                let Some((key, value)) = line.trim().split_once('=') else {
                    continue;
                };
                let slot = match key {
                    "ID" => &mut release.id,
                    "NAME" => &mut release.name,
                    "PRETTY_NAME" => &mut release.pretty_name,
                    "VERSION_ID" => &mut release.version_id,
                    _ => continue,
                };
                *slot = Some(unquote(value)).filter(|value| !value.is_empty());
            }
            release
        }
    }

    /// Takes off shell quotes and the backslashes inside double ones.
    fn unquote(value: &str) -> String {
        let value = value.trim();
        if let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
            return inner.to_owned();
        }
        let inner = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .unwrap_or(value);
        let mut text = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => text.extend(characters.next()),
                other => text.push(other),
            }
        }
        text
    }

    /// The C library that programs of this machine link to. glibc wins where both are installed:
    /// musl beside glibc is a development package, glibc beside musl a thin imitation without the
    /// banner that is looked for.
    fn libc_version(root: &Root) -> Option<Libc> {
        if root.is_system()
            && let Some(version) = own_glibc()
        {
            return Some(version);
        }
        glibc(root).or_else(|| musl(root))
    }

    /// What the C library of this process says of itself.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn own_glibc() -> Option<Libc> {
        // SAFETY: glibc returns a pointer to a constant NUL-terminated string.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        let (major, minor) = two_numbers(version.to_bytes())?;
        Some(Libc::Glibc { major, minor })
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn own_glibc() -> Option<Libc> {
        None
    }

    /// `2.36.9` and `1.2.4-git` begin with two numbers.
    fn two_numbers(text: &[u8]) -> Option<(u16, u16)> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// The version in the banner of `libc.so.6`: `GNU C Library (…) stable release version 2.36.`
    fn glibc(root: &Root) -> Option<Libc> {
        let mut folders = vec!["/lib64".to_owned(), "/usr/lib64".to_owned()];
        for base in ["/lib", "/usr/lib"] {
            folders.push(base.to_owned());
            folders.push(format!("{base}/{}-linux-gnu", std::env::consts::ARCH));
        }
        folders.iter().find_map(|folder| {
            let bytes = std::fs::read(root.path(&format!("{folder}/libc.so.6"))).ok()?;
            let banner = &bytes[find(&bytes, b"GNU C Library")?..];
            let line = banner.split(|b| *b == b'\n' || *b == 0).next()?;
            let version = &line[find(line, b"version ")? + b"version ".len()..];
            let (major, minor) = two_numbers(version)?;
            Some(Libc::Glibc { major, minor })
        })
    }

    /// The version string inside musl's loader, which is its C library too.
    fn musl(root: &Root) -> Option<Libc> {
        let loader = root
            .list("/lib")
            .into_iter()
            .find(|name| name.starts_with("ld-musl-") && name.ends_with(".so.1"))?;
        let bytes = std::fs::read(root.path(&format!("/lib/{loader}"))).ok()?;
        bytes.split(|b| *b == 0).find_map(|text| {
            // A whole string of its own, like `1.2.4` or `1.2.5-git-7`: the only one so short.
            if !(5..=24).contains(&text.len()) || !text.starts_with(b"1.") {
                return None;
            }
            let release = text.split(|b| *b == b'-').next()?;
            let dots = release.iter().filter(|b| **b == b'.').count();
            if dots != 2 || !release.iter().all(|b| b.is_ascii_digit() || *b == b'.') {
                return None;
            }
            let (major, minor) = two_numbers(text)?;
            Some(Libc::Musl { major, minor })
        })
    }

    fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
        haystack
            .windows(needle.len())
            .position(|window| window == needle)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{linux::OsRelease, *};
    use crate::{host::root::fixture::Tree, types::Libc};

    #[test]
    fn debian() {
        let tree = Tree::new(&[
            (
                "/etc/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
                 VERSION_ID=\"12\"\n# comment\nID=debian\n",
            ),
            ("/proc/sys/kernel/osrelease", "6.1.0-28-amd64\n"),
        ]);
        tree.write(
            "/lib64/libc.so.6",
            b"\x7fELF\0junk\0GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version \
              2.36.\nCopyright\0",
        );
        let mut unread = Vec::new();
        let os = detect_linux(&tree.root, &mut unread);
        assert_eq!(os.id, "debian");
        assert_eq!(os.name, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(os.version, "12");
        assert_eq!(os.kernel.as_deref(), Some("6.1.0-28-amd64"));
        assert_eq!(
            os.libc,
            Some(Libc::Glibc {
                major: 2,
                minor: 36
            })
        );
        assert_eq!(unread, []);
    }

    #[test]
    fn alpine() {
        let tree = Tree::new(&[(
            "/usr/lib/os-release",
            "NAME='Alpine Linux'\nID=alpine\nVERSION_ID=3.20.3\n",
        )]);
        tree.write(
            "/lib/ld-musl-x86_64.so.1",
            b"\x7fELF\0/proc/self/fd/\x001.2.5\0Unsupported request\0",
        );
        // What gcompat installs there has no banner.
        tree.write("/lib/libc.so.6", b"\x7fELF\0");
        let os = detect_linux(&tree.root, &mut Vec::new());
        assert_eq!(os.name, "Alpine Linux");
        assert_eq!(os.version, "3.20.3");
        assert_eq!(os.libc, Some(Libc::Musl { major: 1, minor: 2 }));
    }

    #[test]
    fn nothing_to_read_is_told() {
        let mut unread = Vec::new();
        let os = detect_linux(&Tree::new(&[]).root, &mut unread);
        assert_eq!(os.id, "linux");
        let whats: Vec<_> = unread.iter().map(|u| u.what.as_str()).collect();
        assert_eq!(whats, ["/etc/os-release", "the C library"]);
    }

    #[test]
    fn windows_names() {
        for (product, version, build, name) in [
            (
                Some("Windows 10 Pro"),
                Some("24H2"),
                26100,
                "Windows 11 24H2",
            ),
            (
                Some("Windows 10 Home"),
                Some("22H2"),
                19045,
                "Windows 10 22H2",
            ),
            (
                Some("Windows Server 2022 Standard"),
                Some("21H2"),
                20348,
                "Windows Server 2022 Standard 21H2",
            ),
            (None, None, 22000, "Windows 11"),
        ] {
            assert_eq!(windows_name(product, version, build), name);
        }
    }

    proptest! {
        #[test]
        fn any_quoted_name_comes_back(name in "[^\\x00-\\x1f\u{85}\u{2028}\u{2029}]{1,30}") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            let release = OsRelease::parse(&format!("ID=x\nPRETTY_NAME=\"{quoted}\"\n"));
            prop_assert_eq!(release.pretty_name.as_deref(), Some(name.as_str()));
        }

        #[test]
        fn any_text_can_be_parsed(text in ".*") {
            let _ = OsRelease::parse(&text);
        }
    }
}
