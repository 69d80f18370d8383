//! The simple API: a package's page, in HTML (PEP 503) or JSON (PEP 691), as [`Releases`].
//!
//! Both forms carry the same: file names, addresses, digests, `Requires-Python`, yanks (PEP 592),
//! which metadata file lies beside (PEP 658, renamed by PEP 714) and, in JSON, sizes (PEP
//! 700). A login page or a portal's error page is a fine HTML document too; a page that names no
//! file and does not look like an index page is refused instead of taken for an empty package.

mod html;
mod json;

use std::{collections::HashMap, sync::Arc};

use url::Url;

use super::{DistFile, DistKind, MetadataFile, Releases, file_name, lenient, tags::WheelTags};
use crate::types::{PackageName, Sha256, VersionSpecifiers};

/// What is asked for: JSON best, any HTML at last.
pub(super) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
     application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// One file as a page lists it, before anything is judged.
#[derive(Debug, Default)]
struct Listed {
    /// Absolute or relative address.
    href: String,
    file_name: Option<String>,
    sha256: Option<String>,
    size: Option<u64>,
    requires_python: Option<String>,
    yanked: Option<String>,
    metadata_file: Option<MetadataFile>,
}

/// A page is not of an index. Says what it is instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnIndex(pub(super) String);

/// Reads the page of `package`. `content_type` is lower case without parameters; `address` is where
/// the page was found.
pub(super) fn parse(
    body: &[u8],
    content_type: &str,
    address: &Url,
    package: &PackageName,
) -> Result<Releases, NotAnIndex> {
    let first = body
        .iter()
        .copied()
        .find(|b| !b.is_ascii_whitespace() && *b < 0x80);
    let is_json = match content_type {
        "application/vnd.pypi.simple.v1+json" | "application/json" => true,
        "application/vnd.pypi.simple.v1+html" | "text/html" | "application/xhtml+xml" => false,
        // Some file servers know no types; the first character tells the two apart.
        _ => first == Some(b'{'),
    };
    if is_json {
        let files = json::parse(body)?;
        return Ok(collect(files, address, package));
    }
    if first != Some(b'<') {
        return Err(NotAnIndex(match content_type {
            "" => "neither HTML nor JSON".to_owned(),
            kind => format!("neither HTML nor JSON but `{kind}`"),
        }));
    }
    let page = html::parse(&String::from_utf8_lossy(body));
    let base = page
        .base
        .as_deref()
        .and_then(|base| address.join(base).ok());
    let listed = page.files.len();
    let releases = collect(page.files, base.as_ref().unwrap_or(address), package);
    // A package without files has such a page too, but then it says what it is.
    if releases.versions.is_empty() && !page.is_index {
        return Err(NotAnIndex(if page.has_form {
            "a page with a form, such as a login page".to_owned()
        } else if listed == 0 {
            "an HTML page without links".to_owned()
        } else {
            format!("an HTML page whose links are not files of `{package}`")
        }));
    }
    Ok(releases)
}

/// Judges the files and sorts them by version. What repeats is shared.
fn collect(listed: Vec<Listed>, base: &Url, package: &PackageName) -> Releases {
    let mut releases = Releases::default();
    let mut specifiers: HashMap<String, Option<VersionSpecifiers>> = HashMap::new();
    let mut texts: HashMap<Arc<str>, Arc<str>> = HashMap::new();
    for entry in listed {
        let Ok(mut url) = base.join(&entry.href) else {
            continue;
        };
        if !matches!(url.scheme(), "http" | "https") {
            continue;
        }
        let _ = crate::settings::take_login(&mut url);
        let from_fragment = url
            .fragment()
            .and_then(file_name::sha256_of_fragment)
            .map(str::to_owned);
        url.set_fragment(None);
        let Some(name) = entry.file_name.or_else(|| file_name::file_name_of(&url)) else {
            continue;
        };
        let Some((version, kind)) = file_name::parse(&name, package) else {
            continue;
        };
        let kind = match kind {
            DistKind::Wheel(tags) => share(tags, &mut texts),
            DistKind::Sdist => DistKind::Sdist,
        };
        let requires_python = entry.requires_python.and_then(|text| {
            let parsed = specifiers
                .entry(text)
                .or_insert_with_key(|text| lenient::specifiers(text).ok());
            parsed.clone()
        });
        let digest = entry.sha256.or(from_fragment);
        releases
            .versions
            .entry(version)
            .or_default()
            .push(DistFile {
                file_name: name,
                url: url.into(),
                kind,
                sha256: digest.and_then(|digits| digits.parse::<Sha256>().ok()),
                size: entry.size,
                requires_python,
                yanked: entry.yanked,
                metadata_file: entry.metadata_file,
            });
    }
    for files in releases.versions.values_mut() {
        leave_out_foreign(files);
    }
    releases
}

/// Leaves out wheels no machine of ours could install: half of what popular packages publish is
/// for other processors, other interpreters and Pythons of long ago. A version that has no other
/// wheel keeps them, so that it can be said what it is for.
fn leave_out_foreign(files: &mut Vec<DistFile>) {
    let known = |file: &DistFile| file.wheel().is_some_and(WheelTags::is_for_known_machines);
    if files.iter().any(known) {
        files.retain(|file| file.wheel().is_none() || known(file));
        files.shrink_to_fit();
    }
}

/// The same tags with their text shared with earlier wheels.
fn share(tags: WheelTags, texts: &mut HashMap<Arc<str>, Arc<str>>) -> DistKind {
    let shared = texts
        .entry(Arc::clone(tags.text()))
        .or_insert_with(|| Arc::clone(tags.text()));
    let again = WheelTags::new(Arc::clone(shared), tags.build());
    DistKind::Wheel(again.unwrap_or(tags))
}

#[cfg(test)]
mod tests;
