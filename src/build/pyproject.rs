//! What a source tree says of how it is built (PEP 517, PEP 518).

use std::path::{Component, Path};

use serde::Deserialize;

use crate::types::{Requirement, parse_requirement};

/// The build system of a source tree.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildSystem {
    /// What the backend needs to be imported.
    pub requires: Vec<Requirement>,
    /// `module:object`.
    pub backend: String,
    /// Folders of the tree that hold the backend itself.
    pub backend_path: Vec<String>,
}

/// A `pyproject.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildSystemError {
    /// Not TOML or of the wrong form.
    #[error("its pyproject.toml cannot be read")]
    Form(#[source] Box<toml::de::Error>),
    /// A requirement of the backend is none.
    #[error("its pyproject.toml asks for `{0}`, which is not a requirement")]
    Requirement(String),
    /// `backend-path` leads out of the tree.
    #[error("its backend-path `{0}` leads out of the source tree")]
    BackendPath(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pyproject {
    build_system: Option<Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    #[serde(default)]
    requires: Vec<String>,
    build_backend: Option<String>,
    #[serde(default)]
    backend_path: Vec<String>,
}

impl BuildSystem {
    /// From the text of `pyproject.toml`; a tree without one is built by setuptools as of old.
    pub fn read(pyproject: Option<&str>) -> Result<Self, BuildSystemError> {
        let table = match pyproject {
            None => None,
            Some(text) => {
                let file: Pyproject = toml::from_str(text)
                    .map_err(|error| BuildSystemError::Form(Box::new(error)))?;
                file.build_system
            }
        };
        // PEP 517: without a backend named, setuptools' compatible entry point is meant.
        let legacy = "setuptools.build_meta:__legacy__";
        let table = table.unwrap_or_else(|| Table {
            requires: vec!["setuptools>=40.8.0".to_owned()],
            build_backend: None,
            backend_path: Vec::new(),
        });
        let requires = table
            .requires
            .iter()
            .map(|text| {
                parse_requirement(text).map_err(|_| BuildSystemError::Requirement(text.clone()))
            })
            .collect::<Result<_, _>>()?;
        for folder in &table.backend_path {
            let inside = Path::new(folder)
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !inside {
                return Err(BuildSystemError::BackendPath(folder.clone()));
            }
        }
        Ok(Self {
            requires,
            backend: table.build_backend.unwrap_or_else(|| legacy.to_owned()),
            backend_path: table.backend_path,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_three_ways_to_say_it() {
        let bare = BuildSystem::read(None).unwrap();
        assert_eq!(bare.backend, "setuptools.build_meta:__legacy__");
        let only_requires = "[build-system]\nrequires = [\"setuptools\", \"wheel\"]";
        let read = BuildSystem::read(Some(only_requires)).unwrap();
        assert_eq!(
            (read.requires.len(), read.backend.as_str()),
            (2, "setuptools.build_meta:__legacy__")
        );
        let own = "[build-system]\nrequires = []\nbuild-backend = \"b:x\"\nbackend-path = [\".\"]";
        assert_eq!(BuildSystem::read(Some(own)).unwrap().backend, "b:x");
        let out = "[build-system]\nrequires = []\nbuild-backend = \"b\"\nbackend-path = [\"../x\"]";
        assert!(matches!(
            BuildSystem::read(Some(out)),
            Err(BuildSystemError::BackendPath(_))
        ));
    }

    #[test]
    fn requirements_that_are_none() {
        for bad in [
            "a-",
            "a_>=1",
            "a.",
            "a[b-]",
            "a @ https://h.example/${HOME}",
            "",
        ] {
            let text = format!("[build-system]\nrequires = [\"{bad}\"]");
            assert!(
                matches!(
                    BuildSystem::read(Some(&text)),
                    Err(BuildSystemError::Requirement(text)) if text == bad
                ),
                "{bad}"
            );
        }
    }
}
