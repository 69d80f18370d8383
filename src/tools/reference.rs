//! How a person names a tool: `vllm`, `vllm==0.9.2`, `./mine.toml`, `./mine.toml==1.0`.

use std::path::Path;

use crate::{catalog::is_path, error::UserError, types::Version};

/// A name or a path, and the version that is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'r> {
    /// The name of a tool, or the path of a manifest.
    pub tool: &'r str,
    /// What stands behind `==`.
    pub version: Option<Version>,
}

/// A tool was not named the way tools are.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing stands before the `==`.
    #[error("`{text}` names no tool")]
    NoTool {
        /// What was typed.
        text: String,
    },
    /// `vllm>=0.9`, `vllm=0.9`, `vllm@0.9`.
    #[error("`{text}` is not how a tool is named")]
    Operator {
        /// What was typed.
        text: String,
        /// The part before the first sign.
        tool: String,
    },
    /// What stands behind `==` is no version.
    #[error("`{found}` in `{text}` is not a version")]
    NotAVersion {
        /// What was typed.
        text: String,
        /// The part before `==`.
        tool: String,
        /// The part behind it.
        found: String,
    },
    /// A tool whose version is a commit.
    #[error("the version of {title} cannot be chosen: it is a source tree at a pinned commit")]
    Tree {
        /// The tool's title.
        title: String,
        /// The version its manifest has.
        version: String,
    },
    /// A lock says the version already.
    #[error("`{text}` asks for a version, and the lock has one already")]
    Locked {
        /// What was typed.
        text: String,
    },
}

impl<'r> Reference<'r> {
    /// Reads what a person typed.
    ///
    /// # Errors
    /// Whatever holds a sign of a version requirement and is not `TOOL==VERSION`.
    pub fn parse(text: &'r str) -> Result<Self, ReferenceError> {
        let plain = Self {
            tool: text,
            version: None,
        };
        let path = is_path(text);
        // Folders may have any name; only `==` is looked for behind a path.
        if path && (!text.contains("==") || Path::new(text).exists()) {
            return Ok(plain);
        }
        let at = match path {
            true => text.rfind("=="),
            false => text.find(['=', '<', '>', '!', '~', '@']),
        };
        let Some(at) = at else {
            return Ok(plain);
        };
        let tool = text[..at].trim();
        if tool.is_empty() {
            let text = text.to_owned();
            return Err(ReferenceError::NoTool { text });
        }
        let Some(found) = text[at..].strip_prefix("==") else {
            return Err(ReferenceError::Operator {
                text: text.to_owned(),
                tool: tool.to_owned(),
            });
        };
        match found.trim().parse() {
            Ok(version) => Ok(Self {
                tool,
                version: Some(version),
            }),
            Err(_) => Err(ReferenceError::NotAVersion {
                text: text.to_owned(),
                tool: tool.to_owned(),
                found: found.trim().to_owned(),
            }),
        }
    }
}

impl UserError for ReferenceError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoTool { .. } => "usage.no-tool",
            Self::Operator { .. } => "usage.tool-operator",
            Self::NotAVersion { .. } => "usage.tool-version",
            Self::Tree { .. } => "tool.version-of-tree",
            Self::Locked { .. } => "usage.version-and-lock",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoTool { .. } => "name a tool, as in `vllm` or `vllm==0.9.2`".to_owned(),
            Self::Operator { tool, .. } | Self::NotAVersion { tool, .. } => {
                format!("name exactly one version, as in `{tool}==1.2.3`, or none: `{tool}`")
            }
            Self::Tree { version, .. } => format!(
                "its manifest has {version}; another commit takes a manifest of your own \
                 (docs/manifest.md)"
            ),
            Self::Locked { .. } => "leave the version out".to_owned(),
        })
    }

    fn is_usage(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_paths_with_and_without_a_version() {
        for (text, tool, version) in [
            ("vllm", "vllm", None),
            ("vllm==0.9.2", "vllm", Some("0.9.2")),
            ("vllm == 0.9.2", "vllm", Some("0.9.2")),
            ("vllm==0.9.2+cu118", "vllm", Some("0.9.2+cu118")),
            ("vllm==1.0rc1", "vllm", Some("1.0rc1")),
            ("./a=b/mine.toml", "./a=b/mine.toml", None),
            ("mine.toml", "mine.toml", None),
            ("./a=b/mine.toml==1.0", "./a=b/mine.toml", Some("1.0")),
        ] {
            let version: Option<Version> = version.map(|version| version.parse().unwrap());
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference, Reference { tool, version }, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, code) in [
            ("==1.0", "usage.no-tool"),
            (" ==1.0", "usage.no-tool"),
            ("vllm>=0.9", "usage.tool-operator"),
            ("vllm=0.9", "usage.tool-operator"),
            ("vllm@0.9", "usage.tool-operator"),
            ("vllm~=0.9", "usage.tool-operator"),
            ("vllm!=0.9", "usage.tool-operator"),
            ("vllm==", "usage.tool-version"),
            ("vllm===0.9", "usage.tool-version"),
            ("vllm==0.9.*", "usage.tool-version"),
            ("vllm==new", "usage.tool-version"),
            ("vllm==0.9==0.8", "usage.tool-version"),
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(error.is_usage() && error.hint().is_some(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_typed_makes_it_panic(text in "\\PC{0,20}", sign in "[=<>@!~ .*]{0,3}") {
            let _ = Reference::parse(&format!("{text}{sign}{text}"));
        }
    }
}
