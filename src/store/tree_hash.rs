//! The content hash of a source tree.
//!
//! An archive made by a source host on the fly may be compressed differently tomorrow; the tree in
//! it is the same. So a tree is named by what it holds. The hash is the SHA-256 of this text, in
//! UTF-8:
//!
//! ```text
//! aienv tree 1
//! <mode> <sha256> <path>
//! ```
//!
//! with one line, ended by a line feed, for each file and symbolic link, ordered by the bytes of
//! the path. `mode` is `100644` for a file, `100755` for an executable one (owner's bit) and
//! `120000` for a symbolic link; `sha256` is that of the content, for a link that of its target as
//! written; `path` is relative to the archive's one top folder, whose name does not count, with
//! `/` between components. Folders count only through what lies in them. Names cannot hold line
//! feeds (such archives are refused), so the text cannot be read in two ways.

use super::{StoredFile, StoredLink};
use crate::types::{Sha256, Sha256Hasher};

/// The content hash of the files and links of a tree, in any order.
pub fn tree_hash(files: &[StoredFile], links: &[StoredLink]) -> Sha256 {
    let mut lines: Vec<(&str, &str, Sha256)> = files
        .iter()
        .map(|file| {
            let mode = if file.executable { "100755" } else { "100644" };
            (file.path.as_str(), mode, file.sha256)
        })
        .chain(
            links
                .iter()
                .map(|link| (link.path.as_str(), "120000", Sha256::of(&link.target))),
        )
        .collect();
    lines.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut hasher = Sha256Hasher::default();
    hasher.update(b"aienv tree 1\n");
    for (path, mode, digest) in lines {
        hasher.update(format!("{mode} {digest} {path}\n").as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_text_is_what_is_hashed() {
        let file = |path: &str, content: &str, executable| StoredFile {
            path: path.to_owned(),
            size: content.len() as u64,
            sha256: Sha256::of(content),
            executable,
        };
        let files = [file("b/run.sh", "x", true), file("a.txt", "y", false)];
        let links = [StoredLink {
            path: "b/a".to_owned(),
            target: "../a.txt".to_owned(),
        }];
        let text = format!(
            "aienv tree 1\n100644 {} a.txt\n120000 {} b/a\n100755 {} b/run.sh\n",
            Sha256::of("y"),
            Sha256::of("../a.txt"),
            Sha256::of("x"),
        );
        assert_eq!(tree_hash(&files, &links), Sha256::of(text));
        let reordered: Vec<_> = files.iter().rev().cloned().collect();
        assert_eq!(tree_hash(&reordered, &links), tree_hash(&files, &links));
    }
}
