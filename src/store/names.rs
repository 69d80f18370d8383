//! Names of archive entries: which are acceptable, and which get in each other's way.
//!
//! The rules are the same on every system, so that an archive is good or bad everywhere, with two
//! exceptions: names that only Windows cannot have (`aux.py` is an honest module elsewhere) are
//! refused there alone, and CPython builds, which carry a terminal database with folders `a` and
//! `A`, may hold names that differ by case where the system tells them apart.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use super::error::ArchiveFault;

const MAX_NAME_BYTES: usize = 1024;
const MAX_DEPTH: usize = 64;

/// The name in the form `a/b/c`: relative, UTF-8, without `.`, `..` and empty components. The
/// archive's own root gives an empty string.
pub(crate) fn clean_name(raw: &[u8]) -> Result<String, ArchiveFault> {
    clean_name_for(raw, cfg!(windows))
}

fn clean_name_for(raw: &[u8], windows: bool) -> Result<String, ArchiveFault> {
    let name = std::str::from_utf8(raw).map_err(|_| ArchiveFault::NameNotUtf8)?;
    if name.contains('\\') {
        return Err(ArchiveFault::NameCharacter("a backslash"));
    }
    if name.chars().any(char::is_control) {
        return Err(ArchiveFault::NameCharacter("a control character"));
    }
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if name.starts_with('/') || drive {
        return Err(ArchiveFault::AbsolutePath);
    }
    let mut clean = String::with_capacity(name.len());
    let mut depth = 0;
    for part in name.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            return Err(ArchiveFault::ParentFolder);
        }
        if windows && !windows_can_have(part) {
            return Err(ArchiveFault::WindowsName);
        }
        if !clean.is_empty() {
            clean.push('/');
        }
        clean.push_str(part);
        depth += 1;
    }
    if clean.len() > MAX_NAME_BYTES || depth > MAX_DEPTH {
        return Err(ArchiveFault::NameTooLong);
    }
    Ok(clean)
}

/// Whether Windows can have a file of this name and will not change it.
fn windows_can_have(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let numbered = |prefix: &str| {
        stem.get(..3)
            .is_some_and(|s| s.eq_ignore_ascii_case(prefix))
            && matches!(
                stem.get(3..),
                Some("0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            )
    };
    let device = ["con", "prn", "aux", "nul", "conin$", "conout$"]
        .iter()
        .any(|d| stem.eq_ignore_ascii_case(d))
        || numbered("com")
        || numbered("lpt");
    !device && !part.ends_with(['.', ' ']) && !part.contains(['<', '>', ':', '"', '|', '?', '*'])
}

/// How two names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameCase {
    /// Equal up to case and Unicode normalisation is a collision.
    Ignore,
    /// Only equal names are, unless this system cannot tell such names apart.
    AsSystem,
}

/// The names seen so far.
pub(crate) struct Names {
    fold: bool,
    /// Folded name → (name as written, it is a folder that something lies in).
    seen: HashMap<String, (String, bool)>,
}

impl Names {
    pub(crate) fn new(case: NameCase) -> Self {
        Self {
            fold: case == NameCase::Ignore || cfg!(any(windows, target_os = "macos")),
            seen: HashMap::new(),
        }
    }

    /// Adds a file or link by its clean name.
    pub(crate) fn add(&mut self, name: &str) -> Result<(), ArchiveFault> {
        let mut end = 0;
        while let Some(next) = name[end..].find('/') {
            let folder = &name[..end + next];
            let known = self
                .seen
                .entry(self.key(folder))
                .or_insert_with(|| (folder.to_owned(), true));
            if !known.1 {
                return Err(ArchiveFault::FileAndFolder(known.0.clone()));
            }
            end += next + 1;
        }
        match self.seen.insert(self.key(name), (name.to_owned(), false)) {
            None => Ok(()),
            Some((_, true)) => Err(ArchiveFault::FileAndFolder(name.to_owned())),
            Some((other, false)) if other == name => Err(ArchiveFault::Duplicate),
            Some((other, false)) => Err(ArchiveFault::CaseCollision(other)),
        }
    }

    fn key(&self, name: &str) -> String {
        if !self.fold {
            name.to_owned()
        } else if name.is_ascii() {
            name.to_ascii_lowercase()
        } else {
            name.nfc().flat_map(char::to_lowercase).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_normalised() {
        for (raw, clean) in [
            ("a/b.py", "a/b.py"),
            ("./a//b", "a/b"),
            ("folder/", "folder"),
            ("./", ""),
            ("ünï/ç", "ünï/ç"),
            ("aux.py", "aux.py"),
            ("a..b/...", "a..b/..."),
        ] {
            assert_eq!(clean_name_for(raw.as_bytes(), false).unwrap(), clean);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for raw in [
            &b"/etc/passwd"[..],
            b"//server/share",
            b"C:/x",
            b"c:x",
            b"a\\b",
            b"\\\\server\\share",
            b"..",
            b"a/../b",
            b"a/..",
            b"a\0b",
            b"a\nb",
            b"\xff\xfe",
            &[b'a'; 2000],
            "x/".repeat(100).as_bytes(),
        ] {
            assert!(clean_name_for(raw, false).is_err(), "{raw:?}");
        }
        for raw in [
            "con",
            "AUX.py",
            "a/nul.txt",
            "com1",
            "LPT9.x",
            "a.",
            "a ",
            "a:stream",
            "what?",
        ] {
            assert!(clean_name_for(raw.as_bytes(), true).is_err(), "{raw}");
        }
        assert!(clean_name_for(b"console/common.py", true).is_ok());
    }

    #[test]
    fn names_that_meet() {
        let mut names = Names::new(NameCase::Ignore);
        names.add("a/b").unwrap();
        names.add("a/c").unwrap();
        assert!(matches!(names.add("a/b"), Err(ArchiveFault::Duplicate)));
        assert!(matches!(
            names.add("A/B"),
            Err(ArchiveFault::CaseCollision(_))
        ));
        assert!(matches!(
            names.add("a"),
            Err(ArchiveFault::FileAndFolder(_))
        ));
        assert!(matches!(
            names.add("a/c/d"),
            Err(ArchiveFault::FileAndFolder(_))
        ));
        names.add("é").unwrap();
        assert!(names.add("E\u{301}").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_bytes_a_clean_name_stays_inside(
            raw in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ) {
            if let Ok(name) = clean_name(&raw) {
                let path = std::path::Path::new(&name);
                proptest::prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }
    }
}
