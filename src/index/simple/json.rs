//! PEP 691 pages. Single wrong entries are left out; a document of another shape is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Listed, MetadataFile, NotAnIndex};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    meta: Meta,
    files: Vec<serde_json::Value>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    core_metadata: Option<Metadata>,
    /// The name before PEP 714.
    #[serde(default)]
    dist_info_metadata: Option<Metadata>,
    #[serde(default)]
    yanked: Option<Yanked>,
    #[serde(default)]
    size: Option<u64>,
}

/// A flag, or the digests of the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Metadata {
    Flag(bool),
    Digests(BTreeMap<String, String>),
}

/// A flag, or the reason.
#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Flag(bool),
    Reason(String),
}

pub(super) fn parse(body: &[u8]) -> Result<Vec<Listed>, NotAnIndex> {
    let document: Document = serde_json::from_slice(body)
        .map_err(|error| NotAnIndex(format!("JSON of another shape ({error})")))?;
    if let Some(version) = document.meta.api_version
        && !version.starts_with("1.")
    {
        return Err(NotAnIndex(format!(
            "version {version} of the simple API, which this aienv does not know"
        )));
    }
    let files = document.files.into_iter();
    Ok(files
        .filter_map(|file| serde_json::from_value(file).ok())
        .map(listed)
        .collect())
}

fn listed(file: File) -> Listed {
    let metadata = file.core_metadata.or(file.dist_info_metadata);
    Listed {
        href: file.url,
        file_name: Some(file.filename),
        sha256: file.hashes.get("sha256").cloned(),
        size: file.size,
        requires_python: file.requires_python,
        yanked: match file.yanked {
            Some(Yanked::Flag(true)) => Some(String::new()),
            Some(Yanked::Reason(reason)) => Some(reason),
            Some(Yanked::Flag(false)) | None => None,
        },
        metadata_file: match metadata {
            Some(Metadata::Flag(true)) => Some(MetadataFile::default()),
            // An index that names digests has the file, whichever digests those are.
            Some(Metadata::Digests(digests)) if !digests.is_empty() => Some(MetadataFile {
                sha256: digests.get("sha256").and_then(|digits| digits.parse().ok()),
            }),
            _ => None,
        },
    }
}
