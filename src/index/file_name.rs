//! Names of distribution files: wheels (PEP 427, with PEP 825 variant labels) and source
//! distributions (PEP 625, and the looser names from before it).

use std::sync::Arc;

use url::Url;

use super::{DistFile, DistKind, IndexError, tags::WheelTags};
use crate::{
    settings::{take_login, without_login},
    types::{PackageName, Sha256, Version},
};

/// Version and kind of a file that an index lists for `package`.
///
/// `None` for files of another package and for formats aienv does not install (eggs, installers,
/// signatures).
pub fn parse(file_name: &str, package: &PackageName) -> Option<(Version, DistKind)> {
    if let Some(stem) = file_name.strip_suffix(".whl") {
        let (name, version, tags) = wheel(stem)?;
        return (is_name(name, package)).then_some((version, DistKind::Wheel(tags)));
    }
    let stem = sdist_stem(file_name)?;
    stem.match_indices('-').find_map(|(at, _)| {
        let (name, version) = (&stem[..at], &stem[at + 1..]);
        if !is_name(name, package) {
            return None;
        }
        Some((version_of(version)?, DistKind::Sdist))
    })
}

/// Like [`parse`] for a file whose package is not known beforehand.
pub fn parse_any(file_name: &str) -> Option<(PackageName, Version, DistKind)> {
    if let Some(stem) = file_name.strip_suffix(".whl") {
        let (name, version, tags) = wheel(stem)?;
        return Some((name.parse().ok()?, version, DistKind::Wheel(tags)));
    }
    let stem = sdist_stem(file_name)?;
    // The version has no dash (PEP 625); where an old one does, the name must not end in a number.
    let (name, version) = stem.rsplit_once('-')?;
    Some((name.parse().ok()?, version_of(version)?, DistKind::Sdist))
}

fn sdist_stem(file_name: &str) -> Option<&str> {
    file_name
        .strip_suffix(".tar.gz")
        .or_else(|| file_name.strip_suffix(".zip"))
        .or_else(|| file_name.strip_suffix(".tgz"))
}

/// Name, version and tags of a wheel without `.whl`:
/// `name-version[-build]-python-abi-platform[-variant]`.
fn wheel(stem: &str) -> Option<(&str, Version, WheelTags)> {
    let (name, rest) = stem.split_once('-')?;
    let (version, rest) = rest.split_once('-')?;
    // A build tag starts with a digit, a Python tag never does.
    let (build, tags) = match rest.split_once('-')? {
        (first, tags) if first.starts_with(|c: char| c.is_ascii_digit()) => (Some(first), tags),
        _ => (None, rest),
    };
    let tags = WheelTags::new(Arc::from(tags), build)?;
    Some((name, version_of(version)?, tags))
}

/// Old tools wrote `_` for characters of the version that a file name cannot hold.
fn version_of(text: &str) -> Option<Version> {
    match text.parse() {
        Ok(version) => Some(version),
        Err(_) if text.contains('_') => text.replacen('_', "+", 1).replace('_', ".").parse().ok(),
        Err(_) => None,
    }
}

/// Whether `name` normalises to `package` (PEP 503), without making a normalised copy.
fn is_name(name: &str, package: &PackageName) -> bool {
    let mut wanted = package.as_ref().bytes();
    let mut separated = false;
    for byte in name.bytes() {
        let byte = match byte {
            b'-' | b'_' | b'.' if separated => continue,
            b'-' | b'_' | b'.' => b'-',
            other => other.to_ascii_lowercase(),
        };
        separated = byte == b'-';
        if wanted.next() != Some(byte) {
            return false;
        }
    }
    wanted.next().is_none()
}

impl DistFile {
    /// The wheel tags, if it is a wheel.
    pub fn wheel(&self) -> Option<&WheelTags> {
        match &self.kind {
            DistKind::Wheel(tags) => Some(tags),
            DistKind::Sdist => None,
        }
    }

    /// The package and the version in the file's name.
    pub fn name_and_version(&self) -> Option<(PackageName, Version)> {
        parse_any(&self.file_name).map(|(name, version, _)| (name, version))
    }

    /// The file a direct URL (PEP 508) names, with its version. A `#sha256=…` fragment gives the
    /// digest; a login in the URL is dropped, since it would end up in a lock: put it into netrc.
    ///
    /// # Errors
    /// When the URL or the file name in it cannot be used.
    pub fn from_url(url: &str) -> Result<(Version, Self), IndexError> {
        let bad = |reason: &str| IndexError::BadFileUrl {
            url: without_login(url),
            reason: reason.to_owned(),
        };
        let mut parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("only http and https are supported"));
        }
        let _ = take_login(&mut parsed);
        let fragment = parsed.fragment().map(str::to_owned);
        parsed.set_fragment(None);
        let sha256 = match fragment.as_deref().and_then(sha256_of_fragment) {
            Some(digits) => Some(
                digits
                    .parse::<Sha256>()
                    .map_err(|error| bad(&error.to_string()))?,
            ),
            None => None,
        };
        let file_name = file_name_of(&parsed).ok_or_else(|| bad("it names no file"))?;
        let (_, version, kind) = parse_any(&file_name)
            .ok_or_else(|| bad("it does not end in the name of a wheel or source distribution"))?;
        let file = Self {
            file_name,
            url: parsed.into(),
            kind,
            sha256,
            size: None,
            requires_python: None,
            yanked: None,
            metadata_file: None,
        };
        Ok((version, file))
    }
}

/// `sha256=…` among the parts of a fragment.
pub(super) fn sha256_of_fragment(fragment: &str) -> Option<&str> {
    fragment
        .split('&')
        .find_map(|part| part.strip_prefix("sha256="))
}

/// The last part of a URL's path, decoded. `None` if it is empty or not one plain name.
pub(super) fn file_name_of(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    let decoded = percent_encoding::percent_decode_str(last)
        .decode_utf8()
        .ok()?;
    let plain = !decoded.is_empty() && !decoded.contains(['/', '\\', '\0']);
    plain.then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn package(name: &str) -> PackageName {
        name.parse().unwrap()
    }

    #[test]
    fn wheels() {
        let (version, kind) = parse(
            "Foo_Bar-1.0+cu128-2b-cp312-abi3-linux_x86_64.whl",
            &package("foo-bar"),
        )
        .unwrap();
        assert_eq!(version.to_string(), "1.0+cu128");
        let DistKind::Wheel(tags) = kind else {
            panic!("not a wheel")
        };
        assert_eq!((tags.build(), tags.build_number()), (Some("2b"), Some(2)));
        assert_eq!(tags.pythons().collect::<Vec<_>>(), ["cp312"]);
        assert_eq!(tags.abis().collect::<Vec<_>>(), ["abi3"]);
        assert_eq!(tags.platforms().collect::<Vec<_>>(), ["linux_x86_64"]);
        assert_eq!(tags.variant(), None);

        let (_, kind) = parse(
            "a-1-py3-none-win_amd64.linux_x86_64-cu12.whl",
            &package("a"),
        )
        .unwrap();
        let DistKind::Wheel(tags) = kind else {
            panic!("not a wheel")
        };
        assert_eq!(tags.variant(), Some("cu12"));
        assert_eq!(tags.platforms().count(), 2);
        for bad in [
            "a-1-py3-none.whl",
            "a-1-py3--any.whl",
            "b-1-py3-none-any.whl",
            "a-x-py3-none-any.whl",
            "a-1-1-py3-none-any-v-w.whl",
            "a-1.whl",
        ] {
            assert_eq!(parse(bad, &package("a")), None, "{bad}");
        }
    }

    #[test]
    fn sdists() {
        for (name, of, version) in [
            ("zope.interface-5.0.tar.gz", "zope-interface", "5.0"),
            ("python-dateutil-2.8.0.tar.gz", "python-dateutil", "2.8.0"),
            ("a-1.0-1.zip", "a", "1.0.post1"),
            ("a-1.0_local_2.tar.gz", "a", "1.0+local.2"),
        ] {
            let (found, kind) = parse(name, &package(of)).unwrap();
            assert_eq!(
                (found.to_string().as_str(), kind),
                (version, DistKind::Sdist),
                "{name}"
            );
        }
        for bad in [
            "a-1.0.exe",
            "a-1.0.egg",
            "a.tar.gz",
            "ab-1.0.tar.gz",
            "a-1.0.tar.bz2",
        ] {
            assert_eq!(parse(bad, &package("a")), None, "{bad}");
        }
    }

    #[test]
    fn direct_urls() {
        let digest = "ab".repeat(32);
        let (version, file) = DistFile::from_url(&format!(
            "https://me:secret@files.example/x/torch-2.1%2Bcu118-py3-none-any.whl#sha256={digest}"
        ))
        .unwrap();
        assert_eq!(version.to_string(), "2.1+cu118");
        assert_eq!(file.file_name, "torch-2.1+cu118-py3-none-any.whl");
        assert!(!file.url.contains("secret") && !file.url.contains('#'));
        assert_eq!(file.sha256.unwrap().to_string(), digest);
        for bad in [
            "https://me:secret@files.example/",
            "ftp://me:secret@files.example/a-1.zip",
            "https://me:secret@files.example/a-1.zip#sha256=12",
            "https://me:secret@files.example/a..%2f..%2fb-1.zip",
        ] {
            let error = DistFile::from_url(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "\\PC{0,60}", suffix in "(-py3)?(-none)?(-any)?(\\.whl|\\.zip)?") {
            let name = format!("{name}{suffix}");
            let _ = parse(&name, &package("a"));
            let _ = parse_any(&name);
            let _ = DistFile::from_url(&name);
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-z]{1,5}([_.][a-z0-9]{1,3})?",
            version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(rc[0-9])?",
            build in proptest::option::of("[0-9]{1,3}[a-z]{0,2}"),
            tags in "(cp3[0-9]{1,2}|py3)-(none|abi3)-(any|linux_x86_64)(-[a-z]{1,4})?",
        ) {
            let middle = build.as_ref().map(|b| format!("-{b}")).unwrap_or_default();
            let file = format!("{name}-{version}{middle}-{tags}.whl");
            let (found, kind) = parse(&file, &package(&name)).unwrap();
            prop_assert_eq!(found, version.parse::<Version>().unwrap());
            let DistKind::Wheel(wheel) = kind else { panic!("not a wheel") };
            prop_assert_eq!(wheel.build(), build.as_deref());
            prop_assert_eq!(wheel.to_string(), tags);
        }
    }
}
