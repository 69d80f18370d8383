//! Core metadata: the header lines of `METADATA` in a wheel and of `PKG-INFO` in a source
//! distribution, and the static part of a `pyproject.toml` (PEP 621).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CoreMetadata, lenient};
use crate::types::{ExtraName, PackageName, Version, parse_requirement};

impl CoreMetadata {
    /// Reads the content of `METADATA`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        Headers::parse(bytes)?.into_metadata()
    }
}

/// Core metadata as text that is known to be readable: what is kept on disk. Reading it back does
/// no repairs and no mail parsing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Compact {
    name: String,
    version: String,
    requires_dist: Vec<String>,
    requires_python: Option<String>,
    provides_extra: Vec<String>,
    file_size: Option<u64>,
}

impl Compact {
    /// The text of parsed metadata.
    pub(super) fn of(metadata: &CoreMetadata) -> Self {
        Self {
            name: metadata.name.to_string(),
            version: metadata.version.to_string(),
            requires_dist: texts(&metadata.requires_dist),
            requires_python: metadata.requires_python.as_ref().map(ToString::to_string),
            provides_extra: texts(&metadata.provides_extra),
            file_size: metadata.file_size,
        }
    }

    /// The metadata; `None` when this was written by something else after all.
    pub(super) fn expand(&self) -> Option<CoreMetadata> {
        Some(CoreMetadata {
            name: self.name.parse().ok()?,
            version: self.version.parse().ok()?,
            requires_dist: self
                .requires_dist
                .iter()
                .map(|text| parse_requirement(text).ok())
                .collect::<Option<_>>()?,
            requires_python: match &self.requires_python {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            },
            provides_extra: self
                .provides_extra
                .iter()
                .map(|text| text.parse().ok())
                .collect::<Option<_>>()?,
            file_size: self.file_size,
        })
    }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// The headers of a metadata file that matter.
#[derive(Debug, Default)]
pub(super) struct Headers {
    metadata_version: (u32, u32),
    name: Option<String>,
    version: Option<String>,
    requires_dist: Vec<String>,
    requires_python: Option<String>,
    provides_extra: Vec<String>,
    dynamic: Vec<String>,
}

impl Headers {
    /// Reads the header part; the description below it is not looked at.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (headers, _) = mailparse::parse_headers(bytes).map_err(|error| error.to_string())?;
        let mut found = Self::default();
        for header in headers {
            let key = header.get_key_ref().to_ascii_lowercase();
            // Values are not decoded before it is known that they matter: descriptions are long.
            let value = || {
                let value = header
                    .get_value_utf8()
                    .unwrap_or_else(|_| header.get_value());
                value.trim().to_owned()
            };
            match key.as_str() {
                "metadata-version" => found.metadata_version = metadata_version(&value()),
                "name" => found.name = Some(value()),
                "version" => found.version = Some(value()),
                "requires-dist" => found.requires_dist.push(value()),
                "requires-python" => found.requires_python = Some(value()),
                "provides-extra" => found.provides_extra.push(value()),
                "dynamic" => found.dynamic.push(value().to_ascii_lowercase()),
                _ => {}
            }
        }
        Ok(found)
    }

    /// What a wheel says about itself.
    pub(super) fn into_metadata(self) -> Result<CoreMetadata, String> {
        let name = self.name.ok_or("it has no Name")?;
        let version = self.version.ok_or("it has no Version")?;
        Ok(CoreMetadata {
            name: PackageName::from_str(&name).map_err(|error| error.to_string())?,
            version: Version::from_str(&version).map_err(|error| error.to_string())?,
            requires_dist: requirements(self.requires_dist)?,
            requires_python: match self.requires_python.filter(|text| !text.is_empty()) {
                Some(text) => Some(
                    lenient::specifiers(&text)
                        .map_err(|error| format!("Requires-Python `{text}`: {error}"))?,
                ),
                None => None,
            },
            // An extra whose name breaks the rules cannot be asked for.
            provides_extra: self
                .provides_extra
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            file_size: None,
        })
    }

    /// Whether a source distribution promises that its wheel will need the same (PEP 643).
    pub(super) fn are_static(&self) -> bool {
        let needed = ["requires-dist", "requires-python", "provides-extra"];
        self.metadata_version >= (2, 2)
            && !self
                .dynamic
                .iter()
                .any(|field| needed.contains(&field.as_str()))
    }
}

fn metadata_version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.trim().parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn requirements(
    texts: impl IntoIterator<Item = String>,
) -> Result<Vec<crate::types::Requirement>, String> {
    texts
        .into_iter()
        .map(|text| {
            lenient::requirement(&text).map_err(|error| format!("requirement `{text}`: {error}"))
        })
        .collect()
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Project>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Project {
    name: String,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: std::collections::BTreeMap<String, Vec<String>>,
    requires_python: Option<String>,
    #[serde(default)]
    dynamic: Vec<String>,
}

/// The metadata a `pyproject.toml` states without a build; the version comes from the file name.
///
/// # Errors
/// Why it does not suffice.
pub(super) fn of_pyproject(text: &str, version: &Version) -> Result<CoreMetadata, String> {
    let parsed: PyProject = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let project = parsed
        .project
        .ok_or("its `pyproject.toml` has no [project] table")?;
    let needed = ["dependencies", "optional-dependencies", "requires-python"];
    if let Some(field) = project
        .dynamic
        .iter()
        .find(|field| needed.contains(&field.as_str()))
    {
        return Err(format!("its {field} are known only after a build"));
    }
    let mut requires_dist = requirements(project.dependencies)?;
    let mut provides_extra = Vec::new();
    for (name, texts) in project.optional_dependencies {
        let extra = ExtraName::from_str(&name).map_err(|error| error.to_string())?;
        requires_dist.extend(
            requirements(texts)?
                .into_iter()
                .map(|requirement| requirement.with_extra_marker(&extra)),
        );
        provides_extra.push(extra);
    }
    Ok(CoreMetadata {
        name: project
            .name
            .parse()
            .map_err(|error| format!("its name: {error}"))?,
        version: version.clone(),
        requires_dist,
        requires_python: match project.requires_python {
            Some(text) => Some(lenient::specifiers(&text)?),
            None => None,
        },
        provides_extra,
        file_size: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const METADATA: &str = "Metadata-Version: 2.4\nName: Demo.Tool\nVersion: 1.0\n\
        Summary: =?utf-8?q?caf=C3=A9?=\nLicense: first\n        second: line\n\
        Requires-Python: >=3.8.*\nRequires-Dist: numpy (>=1.0,)\n\
        Requires-Dist: torch>=2 ; extra == 'GPU_x'\nProvides-Extra: GPU_x\n\n\
        # Demo\nRequires-Dist: not-this\n";

    #[test]
    fn headers_of_a_wheel() {
        let metadata = Headers::parse(METADATA.as_bytes())
            .unwrap()
            .into_metadata()
            .unwrap();
        assert_eq!(metadata.name.as_ref(), "demo-tool");
        assert_eq!(
            metadata.requires_python.as_ref().unwrap().to_string(),
            ">=3.8"
        );
        assert_eq!(metadata.requires_dist.len(), 2);
        assert_eq!(metadata.provides_extra[0].to_string(), "gpu-x");
        let bytes = postcard::to_stdvec(&Compact::of(&metadata)).unwrap();
        let again: Compact = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(again.expand().unwrap(), metadata);
    }

    #[test]
    fn a_wrong_requirement_is_an_error_that_shows_it() {
        let text = "Name: a\nVersion: 1\nRequires-Dist: b>=x\n";
        let error = Headers::parse(text.as_bytes())
            .unwrap()
            .into_metadata()
            .unwrap_err();
        assert!(error.contains("`b>=x`"), "{error}");
        assert!(
            Headers::parse(b"Name: a\n")
                .unwrap()
                .into_metadata()
                .is_err()
        );
    }

    #[test]
    fn source_distributions_must_promise() {
        let with = |text: &str| Headers::parse(text.as_bytes()).unwrap().are_static();
        assert!(with("Metadata-Version: 2.2\nName: a\n"));
        assert!(with("Metadata-Version: 2.10\nDynamic: license\n"));
        assert!(!with("Metadata-Version: 2.1\nName: a\n"));
        assert!(!with("Metadata-Version: 2.2\nDynamic: Requires-Dist\n"));
    }

    #[test]
    fn pyproject() {
        let version = "1.5".parse().unwrap();
        let text = "[project]\nname = 'Demo'\ndynamic = ['version']\nrequires-python = '>=3.8'\n\
            dependencies = ['a>=1']\n[project.optional-dependencies]\ngpu = ['b; os_name == \"nt\"']\n";
        let metadata = of_pyproject(text, &version).unwrap();
        assert_eq!(metadata.version, version);
        let texts: Vec<_> = metadata
            .requires_dist
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts[0], "a>=1");
        assert!(texts[1].contains("os_name == 'nt'") && texts[1].contains("extra == 'gpu'"));
        for bad in [
            "[build-system]\nrequires = []",
            "[project]\nname = 'a'\ndynamic = ['dependencies']",
            "[project",
        ] {
            assert!(of_pyproject(bad, &version).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Headers::parse(&bytes).map(Headers::into_metadata);
            let _ = of_pyproject(&String::from_utf8_lossy(&bytes), &"1".parse().unwrap());
            let _ = postcard::from_bytes::<Compact>(&bytes).map(|c| c.expand());
        }

        #[test]
        fn no_headers_panic(lines in proptest::collection::vec(
            prop_oneof![
                Just("Name: a"), Just("Version: 1"), Just("Requires-Dist: "), Just(" : "), Just(":"),
                Just("\n"), Just("\r\n"), Just(" folded"), Just("=?utf-8?b?/w==?="), Just("é"),
            ], 0..20)) {
            let _ = Headers::parse(lines.concat().as_bytes()).map(Headers::into_metadata);
        }
    }
}
