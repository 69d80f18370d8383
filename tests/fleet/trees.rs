//! What the source trees of the catalogue require (`trees.toml`).

use std::io::Read as _;

use aienv::{
    catalog::manifest::{Source, TreeSource},
    net::Client,
    settings::Settings,
    tools::Wanted,
};
use serde::{Deserialize, Serialize};

/// The file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet/trees.toml");

/// The largest archive that is read.
const LARGEST: u64 = 256 << 20;

#[derive(Deserialize, Serialize)]
struct File {
    tree: Vec<RecordedTree>,
}

/// The requirements of one tree.
#[derive(Deserialize, Serialize)]
pub struct RecordedTree {
    /// `owner/name` at the source host.
    pub repository: String,
    /// The commit they are of.
    pub commit: String,
    /// The lines of its requirement files that state a requirement.
    pub requires: Vec<String>,
}

/// Every recorded tree.
pub fn trees() -> Vec<RecordedTree> {
    let text = std::fs::read_to_string(FILE).unwrap();
    toml::from_str::<File>(&text).unwrap().tree
}

/// Records the trees of these tools anew, as far as the source host has them.
pub async fn record(tools: &[Wanted], client: &Client, settings: &Settings) {
    let mut known = trees();
    for tool in tools {
        let Source::Tree(source) = &tool.loaded.manifest.source else {
            continue;
        };
        match fetch(source, client, settings).await {
            Ok(tree) => {
                known.retain(|known| known.repository != tree.repository);
                known.push(tree);
            }
            Err(why) => println!("{}: {why}; trees.toml keeps what it has", source.repository),
        }
    }
    let old = std::fs::read_to_string(FILE).unwrap();
    let comment: String = old
        .lines()
        .take_while(|line| line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let body = toml::to_string_pretty(&File { tree: known }).unwrap();
    std::fs::write(FILE, format!("{comment}\n{body}")).unwrap();
}

async fn fetch(
    source: &TreeSource,
    client: &Client,
    settings: &Settings,
) -> Result<RecordedTree, String> {
    let mut why = "no source host is known".to_owned();
    for template in &settings.sources.value {
        let url = template
            .fill(&source.repository, &source.commit)
            .map_err(|error| error.to_string())?;
        match client.get(url.url()).read(LARGEST).await {
            Ok(page) => return read(source, &page.body),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// The requirements in an archive with one top folder.
fn read(source: &TreeSource, archive: &[u8]) -> Result<RecordedTree, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut requires = Vec::new();
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let path = entry.path().map_err(|error| error.to_string())?;
        let inside: std::path::PathBuf = path.components().skip(1).collect();
        let wanted = source
            .requirements
            .iter()
            .any(|file| inside.as_os_str() == file.as_str());
        if !wanted {
            continue;
        }
        let mut text = String::new();
        entry
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        // Other files and options of pip are left out: the catalogue's trees have none.
        let lines = text
            .lines()
            .map(|line| line.split(" #").next().unwrap().trim());
        let stated = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
        requires.extend(stated.map(str::to_owned));
    }
    if requires.is_empty() {
        return Err("its archive has no such requirement file".to_owned());
    }
    Ok(RecordedTree {
        repository: source.repository.clone(),
        commit: source.commit.clone(),
        requires,
    })
}
