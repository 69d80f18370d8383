//! The standalone CPython builds aienv can fetch by itself (`manifests/pythons.toml`).

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use crate::{
    lock::LockedPython,
    types::{PythonVersion, Sha256, Target, Version},
};

const FACTS: &str = include_str!("../../manifests/pythons.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    #[serde(rename = "as-of")]
    _as_of: toml::value::Datetime,
    cpython: Vec<Release>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    version: Version,
    build: String,
    sha256: BTreeMap<String, Sha256>,
}

// The file is part of the binary and a test reads it, so that it parses is a fact.
static RELEASES: LazyLock<Vec<Release>> =
    LazyLock::new(|| toml::from_str::<Facts>(FACTS).map_or_else(|_| Vec::new(), |f| f.cpython));

/// A CPython build for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedPython {
    /// Full version: `3.12.16`.
    pub version: Version,
    /// Release of the standalone builds: `20261110`.
    pub build: String,
    /// File name of the archive.
    pub file: String,
    /// Digest of the archive.
    pub sha256: Sha256,
}

impl ManagedPython {
    /// Where it is below a mirror's base URL.
    pub fn url(&self, base: &str) -> String {
        // `+` in a path means a space to some servers.
        let file = self.file.replace('+', "%2B");
        format!("{}/{}/{file}", base.trim_end_matches('/'), self.build)
    }

    /// As a lock names it.
    pub fn locked(&self, base: &str) -> LockedPython {
        LockedPython::Managed {
            version: self.version.clone(),
            build: self.build.clone(),
            file: self.file.clone(),
            url: self.url(base),
            sha256: self.sha256,
        }
    }
}

/// The builds for a platform, newest version first; none for musl, where there are no builds that
/// can load binary wheels.
pub fn available(target: &Target) -> Vec<ManagedPython> {
    let triple = target.triple();
    let mut found: Vec<ManagedPython> = RELEASES
        .iter()
        .filter_map(|release| {
            let sha256 = *release.sha256.get(triple)?;
            Some(ManagedPython {
                version: release.version.clone(),
                build: release.build.clone(),
                file: format!(
                    "cpython-{}+{}-{triple}-install_only_stripped.tar.gz",
                    release.version, release.build
                ),
                sha256,
            })
        })
        .collect();
    found.sort_by(|a, b| b.version.cmp(&a.version));
    found
}

/// The newest build of a feature release for a platform.
pub fn newest(target: &Target, version: PythonVersion) -> Option<ManagedPython> {
    available(target)
        .into_iter()
        .find(|python| PythonVersion::of(&python.version) == Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Arch, Libc, Os};

    #[test]
    fn the_facts_parse_and_name_real_files() {
        toml::from_str::<Facts>(FACTS).unwrap();
        let mut target = Target {
            os: Os::Linux,
            arch: Arch::X86_64,
            libc: Some(Libc::Glibc {
                major: 2,
                minor: 36,
            }),
            macos: None,
        };
        let pythons = available(&target);
        assert!(pythons.len() >= 6);
        assert!(pythons.windows(2).all(|p| p[0].version > p[1].version));
        let python = newest(&target, PythonVersion::new(3, 12)).unwrap();
        let url = python.url("https://mirror.example/builds/");
        let start = format!(
            "https://mirror.example/builds/{0}/cpython-3.12.",
            python.build
        );
        assert!(url.starts_with(&start), "{url}");
        assert!(url.ends_with("-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"));
        target.libc = Some(Libc::Musl { major: 1, minor: 2 });
        assert!(available(&target).is_empty());
    }
}
