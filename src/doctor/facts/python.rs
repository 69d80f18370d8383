//! The interpreter, and which folders packages come from.

use std::collections::BTreeSet;

use super::{
    Known, Release, release,
    scan::{Scan, pattern},
};
use crate::doctor::evidence::Evidence;

/// The interpreter and its surroundings.
#[derive(Debug, Default)]
pub struct PythonFacts {
    /// Version as `(3, 12)`.
    pub version: Option<Known<Release>>,
    /// A 32-bit interpreter.
    pub is_32_bit: Option<Known<()>>,
    /// Folders that hold packages, as the text names them.
    pub site_folders: BTreeSet<SiteFolder>,
    /// Tags of wheels that are named, such as `cp312` and `win_amd64`.
    pub wheel_tags: Vec<Known<WheelTag>>,
}

/// A folder of packages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteFolder {
    /// Whose it is.
    pub kind: SiteKind,
    /// Version of the Python it belongs to, where the path says so.
    pub version: Option<Release>,
    /// Path up to `lib`.
    pub root: String,
}

/// Whose packages a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteKind {
    /// The user's own, outside any environment.
    User,
    /// The system's.
    System,
    /// An environment's, or one that cannot be told from it.
    Environment,
}

/// The part of a wheel's name that decides where it can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelTag {
    /// Python version of `cp312`.
    pub python: Option<Release>,
    /// `win_amd64`, `manylinux_2_28_x86_64`.
    pub platform: String,
}

impl PythonFacts {
    pub(super) fn of(evidence: &Evidence, scan: &Scan<'_>) -> Self {
        let stated = evidence.python.as_deref().and_then(|text| {
            Some(Known {
                value: release(text)?,
                quote: format!("Python {text}"),
            })
        });
        Self {
            version: stated.or_else(|| {
                scan.first(
                    pattern!(
                        r"(?i)(?:\bpython(?: version)?[ :=]{0,3}|\bpython|using cpython |cp)(3\.[0-9]{1,2}|3(?:[89]|1[0-9]))\b"
                    ),
                    |found| compact(&found[1]),
                )
            }),
            is_32_bit: scan.first(
                pattern!(
                    r"(?i)\b32[ -]?bits?\b|python_bits\W{1,3}32\b|python\d*-32\b|\bwin32\)|\(intel\)\] on win32|calcsize[^\n]{0,20}\b4\b|\b(?:i[36]86|armv[67]l?|armhf)\b"
                ),
                |_| Some(()),
            )
            // `sys.version` says `32 bit (Intel)`; a 64-bit one says `win32` as well.
            .filter(|known| !known.quote.to_lowercase().contains("64 bit")),
            site_folders: site_folders(scan),
            wheel_tags: wheel_tags(scan),
        }
    }

    /// Folders of one kind.
    pub fn folders(&self, kind: SiteKind) -> impl Iterator<Item = &SiteFolder> {
        self.site_folders.iter().filter(move |f| f.kind == kind)
    }
}

/// `3.12` or `312`.
fn compact(text: &str) -> Option<Release> {
    match text.split_once('.') {
        Some(_) => release(text),
        None => Some((3, text.strip_prefix('3')?.parse().ok()?)),
    }
}

fn site_folders(scan: &Scan<'_>) -> BTreeSet<SiteFolder> {
    let unix = pattern!(
        r"([~/.$\w{}+@-]*[/\w.+@~ -]*?/?)lib(?:64)?/python([0-9]\.[0-9]{1,2})(?:/(?:site|dist)-packages|/[a-z_]+\.py|/lib-dynload)"
    );
    let windows = pattern!(
        r"(?i)([a-z]:\\[^\n\x22'<>|]*?|\\?AppData\\Roaming\\Python\\Python[0-9]+\\?|[^\s\x22']*?)\\?(?:lib\\)?site-packages"
    );
    let mut folders = BTreeSet::new();
    for (found, _) in scan.all(unix) {
        let root = found[1].trim().to_owned();
        let kind = if root.contains(".local") {
            SiteKind::User
        } else if root.ends_with("/usr/") || root.ends_with("/usr/local/") {
            SiteKind::System
        } else {
            SiteKind::Environment
        };
        folders.insert(SiteFolder {
            kind,
            version: release(&found[2]),
            root,
        });
    }
    for (found, _) in scan.all(windows) {
        let root = found[1].to_lowercase();
        if root.is_empty() || root.contains('/') {
            continue;
        }
        let user = root.contains("appdata\\roaming\\python");
        let digits: String = root
            .rsplit("python")
            .next()
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        folders.insert(SiteFolder {
            kind: if user {
                SiteKind::User
            } else {
                SiteKind::Environment
            },
            version: compact(&digits),
            root,
        });
    }
    folders
}

fn wheel_tags(scan: &Scan<'_>) -> Vec<Known<WheelTag>> {
    let pattern = pattern!(
        r"-(?:cp([0-9]{2,3})[a-z0-9_.]*|py[23][a-z0-9.]*)-(?:cp[0-9]+[a-z]*|abi3|none)[a-z0-9.]*-([a-z0-9_.]+?)\.whl"
    );
    scan.all(pattern)
        .take(50)
        .map(|(found, place)| Known {
            value: WheelTag {
                python: found.get(1).and_then(|m| compact(m.as_str())),
                platform: found[2].to_owned(),
            },
            quote: place.quote(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::text::lines_of;

    fn of(text: &str) -> PythonFacts {
        let evidence = Evidence::from_text(text);
        let lines = lines_of(&evidence);
        PythonFacts::of(&evidence, &Scan::new(&lines))
    }

    #[test]
    fn versions_and_widths() {
        assert_eq!(of("Python version: 3.12.3").version.unwrap().value, (3, 12));
        assert_eq!(
            of("x-1.0-cp312-cp312-y.whl").version.unwrap().value,
            (3, 12)
        );
        assert!(
            of("Python 3.8.2 (32 bit (Intel)] on win32")
                .is_32_bit
                .is_some()
        );
        assert!(
            of("[MSC v.1916 64 bit (AMD64)] on win32)")
                .is_32_bit
                .is_none()
        );
        assert!(of("python_bits: 32").is_32_bit.is_some());
    }

    #[test]
    fn folders_are_told_apart() {
        let facts = of(
            "File \"/home/u/.local/lib/python3.10/site-packages/torch/__init__.py\"\n\
             File \"/opt/conda/envs/x/lib/python3.11/site-packages/y.py\"\n\
             File \"/usr/lib/python3/dist-packages\"\n\
             C:\\Users\\u\\AppData\\Roaming\\Python\\Python310\\site-packages\\torch",
        );
        let users: Vec<_> = facts.folders(SiteKind::User).collect();
        assert_eq!(users.len(), 2, "{:?}", facts.site_folders);
        assert!(users.iter().all(|folder| folder.version == Some((3, 10))));
        let environment = facts.folders(SiteKind::Environment).next().unwrap();
        assert_eq!(environment.version, Some((3, 11)));
    }

    #[test]
    fn wheel_names_are_read() {
        let facts = of("torch-1.0.0-cp37-cp37m-win_amd64.whl is not a supported wheel");
        let tag = &facts.wheel_tags[0].value;
        assert_eq!(
            (tag.python, tag.platform.as_str()),
            (Some((3, 7)), "win_amd64")
        );
    }
}
