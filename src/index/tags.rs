//! Wheel tags: which wheels a machine can install, and which of them is best.
//!
//! A wheel's name ends in three tag sets, `python-abi-platform`, each a dot-separated list
//! (PEP 425). [`WheelTags`] keeps that text once, shared between wheels that have the same, and
//! slices it on demand: an index page of a popular package names thousands of wheels.
//!
//! [`CompatibleTags`] ranks them. Python and ABI are ranked by arithmetic on their few forms;
//! platforms (manylinux by glibc version, PEP 600 with its legacy names; musllinux, PEP 656; macOS
//! version ladders; Windows) by a table made once. More specific is better, first by Python and
//! ABI, then by platform; wheels for `any` platform come last. That is the order pip uses, so that
//! aienv picks the same file.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    DistFile,
    platform_tags::{glibc_of, macos_of, platform_tags},
};
use crate::types::{Arch, Os, PythonVersion, Target};

/// The tags and build number in a wheel's file name.
#[derive(Clone, PartialEq, Eq)]
pub struct WheelTags {
    /// `python-abi-platform`, or `python-abi-platform-variant`.
    text: Arc<str>,
    /// Where the ABI, the platform and the end of the platform are in `text`.
    at: (u16, u16, u16),
    build: Option<Box<str>>,
}

impl WheelTags {
    /// From `python-abi-platform[-variant]` and the build tag, if there is one.
    ///
    /// `None` when there are not three or four parts, a part is empty, or the build tag does not
    /// start with a digit.
    pub fn new(text: Arc<str>, build: Option<&str>) -> Option<Self> {
        let mut dashes = text.match_indices('-').map(|(at, _)| at);
        let (first, second) = (dashes.next()?, dashes.next()?);
        let third = dashes.next().unwrap_or(text.len());
        if dashes.next().is_some() || text.split('-').any(str::is_empty) {
            return None;
        }
        if build.is_some_and(|build| !build.starts_with(|c: char| c.is_ascii_digit())) {
            return None;
        }
        let at = (
            u16::try_from(first + 1).ok()?,
            u16::try_from(second + 1).ok()?,
            u16::try_from(third).ok()?,
        );
        Some(Self {
            text,
            at,
            build: build.map(Into::into),
        })
    }

    /// `cp312` or `py2`, `py3`: the Pythons it is for.
    pub fn pythons(&self) -> impl Iterator<Item = &str> {
        self.text[..usize::from(self.at.0) - 1].split('.')
    }

    /// `cp312`, `abi3`, `none`: the binary interfaces it uses.
    pub fn abis(&self) -> impl Iterator<Item = &str> {
        self.text[usize::from(self.at.0)..usize::from(self.at.1) - 1].split('.')
    }

    /// `manylinux_2_28_x86_64`, `any`: the platforms it is for.
    pub fn platforms(&self) -> impl Iterator<Item = &str> {
        self.text[usize::from(self.at.1)..usize::from(self.at.2)].split('.')
    }

    /// The variant label (PEP 825) behind the platform. Such a wheel is only for those who can
    /// judge its properties; [`CompatibleTags::priority`] never picks it.
    pub fn variant(&self) -> Option<&str> {
        self.text.get(usize::from(self.at.2) + 1..)
    }

    /// The number a build tag starts with; wheels without one count as lower than any.
    pub fn build_number(&self) -> Option<u64> {
        let build = self.build.as_deref()?;
        let end = build
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(build.len());
        Some(build[..end].parse().unwrap_or(u64::MAX))
    }

    /// The build tag: `1`, `2local`.
    pub fn build(&self) -> Option<&str> {
        self.build.as_deref()
    }

    /// Whether any machine and interpreter that aienv serves could install it: CPython 3.8 or
    /// newer, 64-bit x86 or Arm, Linux, macOS or Windows.
    pub fn is_for_known_machines(&self) -> bool {
        let stable = self.abis().any(|abi| abi.starts_with("abi3"));
        let python = self.pythons().any(|tag| {
            tag.split_at_checked(2)
                .is_some_and(|(implementation, version)| {
                    match (implementation, parse_version(version)) {
                        ("py", Some((3, _))) => true,
                        ("cp", Some((3, Some(minor)))) => stable || minor >= 8,
                        ("cp", Some((3, None))) => true,
                        _ => false,
                    }
                })
        });
        const MACHINES: [&str; 9] = [
            "any",
            "x86_64",
            "aarch64",
            "amd64",
            "arm64",
            "universal2",
            "universal",
            "intel",
            "fat64",
        ];
        let machine = self
            .platforms()
            .any(|tag| MACHINES.iter().any(|machine| tag.ends_with(machine)));
        python && machine
    }

    /// The tags as in the file name.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.text
    }
}

impl fmt::Display for WheelTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for WheelTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.build {
            Some(build) => write!(f, "WheelTags({build}-{})", self.text),
            None => write!(f, "WheelTags({})", self.text),
        }
    }
}

/// What one interpreter on one machine can install.
#[derive(Clone, Debug)]
pub struct CompatibleTags {
    python: PythonVersion,
    freethreaded: bool,
    os: Os,
    arch: Arch,
    /// Rank of each platform tag from 1 (least specific), `any` left out.
    platforms: HashMap<Box<str>, u32>,
}

/// Room for the platform's rank below the rank of Python and ABI.
const PLATFORM_BITS: u32 = 12;

impl CompatibleTags {
    /// The tags CPython `python` (`freethreaded`: the build without the global interpreter lock)
    /// accepts on `target`.
    pub fn new(target: &Target, python: PythonVersion, freethreaded: bool) -> Self {
        let best_first = platform_tags(target);
        let count = best_first.len() as u32;
        let platforms = best_first
            .into_iter()
            .zip((1..=count).rev())
            .map(|(tag, rank)| (tag.into_boxed_str(), rank))
            .collect();
        Self {
            python,
            freethreaded,
            os: target.os,
            arch: target.arch,
            platforms,
        }
    }

    /// How good a wheel is: higher is better, `None` is not installable.
    pub fn priority(&self, wheel: &WheelTags) -> Option<u32> {
        if wheel.variant().is_some() {
            return None;
        }
        let mut best = None;
        for platform in wheel.platforms() {
            let platform = match platform {
                "any" => None,
                tag => match self.platforms.get(tag) {
                    Some(rank) => Some(*rank),
                    None => continue,
                },
            };
            for python in wheel.pythons() {
                for abi in wheel.abis() {
                    let rank = match platform {
                        Some(platform) => self
                            .rank(python, abi)
                            .map(|rank| rank << PLATFORM_BITS | platform),
                        // Below every wheel made for the platform.
                        None if abi == "none" => self.rank(python, abi),
                        None => None,
                    };
                    best = best.max(rank);
                }
            }
        }
        best
    }

    /// The lowest glibc (Linux) or macOS version with which a wheel could be installed, whatever
    /// this machine has; `None` when Python, ABI or processor do not fit, or it needs neither.
    pub fn least_system(&self, wheel: &WheelTags) -> Option<(u16, u16)> {
        let fits = wheel
            .pythons()
            .any(|python| wheel.abis().any(|abi| self.rank(python, abi).is_some()));
        if !fits || wheel.variant().is_some() {
            return None;
        }
        wheel
            .platforms()
            .filter_map(|tag| match self.os {
                Os::Linux => glibc_of(tag, self.arch),
                Os::Macos => macos_of(tag, self.arch),
                Os::Windows => None,
            })
            .min()
    }

    /// Rank of Python and ABI from 1.
    fn rank(&self, python: &str, abi: &str) -> Option<u32> {
        let (implementation, version) = python.split_at_checked(2)?;
        let (major, minor) = parse_version(version)?;
        if major != self.python.major {
            return None;
        }
        let own = self.python.minor;
        match (implementation, minor) {
            ("cp", Some(minor)) if minor <= own => {
                let stable = if self.freethreaded { "abi3t" } else { "abi3" };
                if minor == own && self.is_own_abi(abi) {
                    Some(1000)
                } else if abi == stable && minor >= 2 {
                    // Newer is better; the interpreter's own version is best of all.
                    Some(if minor == own {
                        999
                    } else {
                        600 + u32::from(minor)
                    })
                } else {
                    (minor == own && abi == "none").then_some(998)
                }
            }
            // py312, then py3, then py311 and older.
            ("py", Some(minor)) if minor <= own && abi == "none" => Some(if minor == own {
                500
            } else {
                100 + u32::from(minor)
            }),
            ("py", None) if abi == "none" => Some(499),
            _ => None,
        }
    }

    /// `cp312`, `cp313t`; before 3.8 with the `m` of pymalloc.
    fn is_own_abi(&self, abi: &str) -> bool {
        let PythonVersion { major, minor } = self.python;
        let flags = match (self.freethreaded, minor) {
            (true, _) => "t",
            (false, ..8) => "m",
            (false, _) => "",
        };
        abi.strip_prefix("cp")
            .and_then(|rest| rest.strip_suffix(flags))
            .and_then(parse_version)
            == Some((major, Some(minor)))
    }
}

/// `3` or `312`; only the first digit is the major version.
fn parse_version(digits: &str) -> Option<(u8, Option<u8>)> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (major, minor) = digits.split_at(1);
    let minor = match minor {
        "" => None,
        minor => Some(minor.parse().ok()?),
    };
    Some((major.parse().ok()?, minor))
}

/// The wheel to install of several of the same version: best tags, then the highest build number,
/// then the first name in the alphabet, so that the order of the index does not matter.
pub fn best_wheel<'a>(files: &'a [DistFile], tags: &CompatibleTags) -> Option<&'a DistFile> {
    files
        .iter()
        .filter_map(|file| {
            let wheel = file.wheel()?;
            let priority = tags.priority(wheel)?;
            let order = (priority, wheel.build_number(), wheel.build());
            Some((order, std::cmp::Reverse(&file.file_name), file))
        })
        .max_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)))
        .map(|(_, _, file)| file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        index::{DistKind, file_name},
        types::Libc,
    };

    fn linux(minor: u16) -> Target {
        Target {
            os: Os::Linux,
            arch: Arch::X86_64,
            libc: Some(Libc::Glibc { major: 2, minor }),
            macos: None,
        }
    }

    fn macos(arch: Arch, version: (u16, u16)) -> Target {
        Target {
            os: Os::Macos,
            arch,
            libc: None,
            macos: Some(version),
        }
    }

    fn tags(target: Target, minor: u8, freethreaded: bool) -> CompatibleTags {
        CompatibleTags::new(&target, PythonVersion::new(3, minor), freethreaded)
    }

    fn wheel(text: &str) -> WheelTags {
        WheelTags::new(text.into(), None).unwrap()
    }

    #[test]
    fn the_least_system_of_a_wheel() {
        let old = tags(linux(17), 12, false);
        for (text, least) in [
            ("cp312-cp312-manylinux_2_34_x86_64", Some((2, 34))),
            (
                "cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64",
                Some((2, 17)),
            ),
            ("py3-none-manylinux2010_x86_64", Some((2, 12))),
            ("cp312-cp312-manylinux_2_34_aarch64", None),
            ("cp311-cp311-manylinux_2_34_x86_64", None),
            ("cp312-cp312-musllinux_1_2_x86_64", None),
            ("py3-none-any", None),
        ] {
            assert_eq!(old.least_system(&wheel(text)), least, "{text}");
        }
        let monterey = tags(macos(Arch::Aarch64, (12, 7)), 12, false);
        for (text, least) in [
            ("cp312-cp312-macosx_14_0_arm64", Some((14, 0))),
            ("cp312-none-macosx_11_0_universal2", Some((11, 0))),
            ("cp312-cp312-macosx_14_0_x86_64", None),
        ] {
            assert_eq!(monterey.least_system(&wheel(text)), least, "{text}");
        }
    }

    /// Every line must be better than the next.
    fn ranked(tags: &CompatibleTags, lines: &[&str]) {
        let ranks: Vec<_> = lines
            .iter()
            .map(|line| tags.priority(&wheel(line)))
            .collect();
        for (pair, names) in ranks.windows(2).zip(lines.windows(2)) {
            assert!(
                pair[1].is_some() && pair[0] > pair[1],
                "{names:?}: {pair:?}"
            );
        }
    }

    fn refused(tags: &CompatibleTags, lines: &[&str]) {
        for line in lines {
            assert_eq!(tags.priority(&wheel(line)), None, "{line}");
        }
    }

    #[test]
    fn order_on_linux() {
        let tags = tags(linux(36), 12, false);
        ranked(
            &tags,
            &[
                "cp312-cp312-manylinux_2_36_x86_64",
                "cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64",
                "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64",
                "cp312-cp312-manylinux2014_x86_64",
                "cp312-cp312-manylinux2010_x86_64",
                "cp312-cp312-manylinux1_x86_64",
                "cp312-cp312-linux_x86_64",
                "cp312-abi3-linux_x86_64",
                "cp312-none-linux_x86_64",
                "cp311-abi3-linux_x86_64",
                "cp37-abi3-manylinux_2_28_x86_64",
                "py312-none-linux_x86_64",
                "py3-none-manylinux_2_28_x86_64",
                "py2.py3-none-linux_x86_64",
                "py311-none-linux_x86_64",
                "cp312-none-any",
                "py312-none-any",
                "py3-none-any",
                "py30-none-any",
            ],
        );
        refused(
            &tags,
            &[
                "cp311-cp311-linux_x86_64",
                "cp313-abi3-linux_x86_64",
                "cp312-cp312t-linux_x86_64",
                "cp312-abi3t-linux_x86_64",
                "cp312-cp312-manylinux_2_37_x86_64",
                "cp312-cp312-manylinux_2_17_aarch64",
                "cp312-cp312-musllinux_1_1_x86_64",
                "cp312-cp312-win_amd64",
                "cp312-cp312-any",
                "py2-none-any",
                "pp310-pypy310_pp73-linux_x86_64",
                "cp312-cp312-manylinux_2_28_x86_64-cu128",
                "py3-abi3-linux_x86_64",
            ],
        );
    }

    #[test]
    fn freethreaded() {
        let tags = tags(linux(36), 15, true);
        ranked(
            &tags,
            &[
                "cp315-cp315t-linux_x86_64",
                "cp315-abi3.abi3t-linux_x86_64",
                "cp315-none-linux_x86_64",
                "py3-none-any",
            ],
        );
        refused(
            &tags,
            &["cp315-cp315-linux_x86_64", "cp38-abi3-linux_x86_64"],
        );
    }

    #[test]
    fn musl_macos_windows() {
        let musl = Target {
            libc: Some(Libc::Musl { major: 1, minor: 2 }),
            ..linux(0)
        };
        let on_musl = tags(musl, 12, false);
        ranked(
            &on_musl,
            &[
                "cp312-cp312-musllinux_1_2_x86_64",
                "cp312-cp312-musllinux_1_1_x86_64",
            ],
        );
        refused(
            &on_musl,
            &[
                "cp312-cp312-musllinux_1_3_x86_64",
                "cp312-cp312-manylinux1_x86_64",
            ],
        );

        let arm = tags(macos(Arch::Aarch64, (14, 5)), 12, false);
        ranked(
            &arm,
            &[
                "cp312-cp312-macosx_14_0_arm64",
                "cp312-cp312-macosx_14_0_universal2",
                "cp312-cp312-macosx_11_0_arm64",
                "cp312-cp312-macosx_10_9_universal2",
            ],
        );
        refused(
            &arm,
            &[
                "cp312-cp312-macosx_15_0_arm64",
                "cp312-cp312-macosx_10_9_x86_64",
                "cp312-cp312-macosx_10_16_arm64",
            ],
        );
        let intel = tags(macos(Arch::X86_64, (10, 15)), 9, false);
        ranked(
            &intel,
            &[
                "cp39-cp39-macosx_10_15_x86_64",
                "cp39-cp39-macosx_10_9_intel",
            ],
        );
        refused(
            &intel,
            &[
                "cp39-cp39-macosx_11_0_x86_64",
                "cp39-cp39-macosx_10_16_x86_64",
            ],
        );

        let windows = Target {
            os: Os::Windows,
            libc: None,
            ..linux(0)
        };
        let windows = tags(windows, 12, false);
        ranked(&windows, &["cp312-cp312-win_amd64", "py3-none-any"]);
        refused(&windows, &["cp312-cp312-win32", "cp312-cp312-win_arm64"]);
        let unknown = tags(
            Target {
                libc: None,
                ..linux(0)
            },
            12,
            false,
        );
        refused(&unknown, &["cp312-cp312-manylinux1_x86_64"]);
    }

    #[test]
    fn known_machines() {
        for (text, known) in [
            ("cp312-cp312-manylinux_2_28_x86_64", true),
            ("cp38-cp38-macosx_10_9_universal2", true),
            ("cp36-abi3-win_arm64", true),
            ("py2.py3-none-any", true),
            ("py3-none-win32.win_amd64", true),
            ("cp37-cp37m-win_amd64", false),
            ("cp312-cp312-win32", false),
            ("cp312-cp312-musllinux_1_2_i686", false),
            ("cp312-cp312-manylinux_2_28_ppc64le", false),
            ("pp310-pypy310_pp73-win_amd64", false),
            ("py2-none-any", false),
        ] {
            assert_eq!(wheel(text).is_for_known_machines(), known, "{text}");
        }
    }

    #[test]
    fn best_wheel_is_independent_of_order() {
        let names = [
            "demo-1-py3-none-any.whl",
            "demo-1-1-cp312-cp312-manylinux2014_x86_64.whl",
            "demo-1-2b-cp312-cp312-manylinux2014_x86_64.whl",
            "demo-1-10-cp312-cp312-manylinux2014_x86_64.whl",
            "demo-1-cp312-cp312-win_amd64.whl",
            "demo-1.tar.gz",
        ];
        let package = "demo".parse().unwrap();
        let mut files: Vec<DistFile> = names
            .iter()
            .map(|name| DistFile {
                file_name: (*name).to_owned(),
                url: String::new(),
                kind: file_name::parse(name, &package).unwrap().1,
                sha256: None,
                size: None,
                requires_python: None,
                yanked: None,
                metadata_file: None,
            })
            .collect();
        assert_eq!(files[5].kind, DistKind::Sdist);
        let tags = tags(linux(36), 12, false);
        for _ in 0..names.len() {
            files.rotate_left(1);
            assert_eq!(best_wheel(&files, &tags).unwrap().file_name, names[3]);
        }
    }
}
