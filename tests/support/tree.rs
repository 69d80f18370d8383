//! Source trees as a source host archives them: a `.tar.gz` with one top folder
//! `<repository>-<commit>/`.

use std::io::Write as _;

use aienv::types::Sha256;
use flate2::{Compression, write::GzEncoder};

/// The program of the default tree: an HTTP server that tells it is well.
const MAIN: &str = r#"import argparse
import http.server
import json
import os
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--listen", default="127.0.0.1")
parser.add_argument("--port", type=int, default=8188)
parser.add_argument("--cpu", action="store_true")
parser.add_argument("--base-directory", default=".")
parser.add_argument("--exit-code", type=int)
arguments = parser.parse_args()
if arguments.exit_code is not None:
    sys.exit(arguments.exit_code)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/system_stats":
            stats = {
                "argv": sys.argv[1:],
                "cpu": arguments.cpu,
                "cwd": os.getcwd(),
                "prefix": sys.prefix,
            }
            self.answer(200, json.dumps(stats))
        elif self.path == "/":
            self.answer(200, "<title>studio</title>")
        else:
            self.answer(404, "not here")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer((arguments.listen, arguments.port), Handler)
print(f"serving on {arguments.listen}:{arguments.port}", flush=True)
server.serve_forever()
"#;

/// One entry of a tar archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path, below the top folder if there is one.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Unix permission bits.
    pub mode: u32,
}

/// Kinds of entry.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// A regular file with its content.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Symlink(String),
    /// A hard link to another path of the archive.
    HardLink(String),
}

impl Entry {
    /// A regular file.
    pub fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.to_owned(),
            kind: EntryKind::File(bytes.into()),
            mode: 0o644,
        }
    }

    /// A symbolic link.
    pub fn symlink(path: &str, target: &str) -> Self {
        Self {
            path: path.to_owned(),
            kind: EntryKind::Symlink(target.to_owned()),
            mode: 0o777,
        }
    }

    /// A hard link.
    pub fn hard_link(path: &str, target: &str) -> Self {
        Self {
            path: path.to_owned(),
            kind: EntryKind::HardLink(target.to_owned()),
            mode: 0o644,
        }
    }

    /// The same entry, executable.
    pub fn executable(mut self) -> Self {
        self.mode = 0o755;
        self
    }
}

/// A compressed tar archive of entries below `top` (none when empty). Paths are written as they
/// are, however hostile.
pub fn tar_gz(top: &str, entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in entries {
        let path = if top.is_empty() {
            entry.path.clone()
        } else {
            format!("{top}/{}", entry.path)
        };
        append(&mut tar, &path, entry);
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn append(tar: &mut tar::Builder<impl std::io::Write>, path: &str, entry: &Entry) {
    let mut header = tar::Header::new_ustar();
    header.set_mode(entry.mode);
    header.set_mtime(1_700_000_000);
    // The library refuses `..` and absolute paths, as it should: the name is written by hand.
    let name = &mut header.as_old_mut().name;
    assert!(path.len() < name.len(), "`{path}` is too long for this kit");
    name[..path.len()].copy_from_slice(path.as_bytes());
    let (kind, target, bytes) = match &entry.kind {
        EntryKind::File(bytes) => (tar::EntryType::Regular, None, bytes.as_slice()),
        EntryKind::Symlink(target) => (tar::EntryType::Symlink, Some(target), &[][..]),
        EntryKind::HardLink(target) => (tar::EntryType::Link, Some(target), &[][..]),
    };
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    if let Some(target) = target {
        let link = &mut header.as_old_mut().linkname;
        link[..target.len()].copy_from_slice(target.as_bytes());
    }
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

/// A source tree under construction.
#[derive(Clone, Debug)]
pub struct Tree {
    /// `owner/name`.
    pub repository: String,
    /// Commit id, made up from the name and version.
    pub commit: String,
    /// Version.
    pub version: String,
    requirements: Vec<String>,
    entries: Vec<Entry>,
}

impl Tree {
    /// A tree with `main.py` (an HTTP server: `--listen`, `--port`, `--cpu`; `/system_stats` is
    /// its health path), a `requirements.txt`, a package and an executable script.
    pub fn new(repository: &str, version: &str) -> Self {
        let digest = Sha256::of(format!("{repository} {version}")).to_string();
        Self {
            repository: repository.to_owned(),
            commit: digest[..40].to_owned(),
            version: version.to_owned(),
            requirements: Vec::new(),
            entries: vec![
                Entry::file("main.py", MAIN),
                Entry::file("nodes/__init__.py", format!("VERSION = {version:?}\n")),
                Entry::file("tools/run.sh", "#!/bin/sh\nexec python main.py\n").executable(),
            ],
        }
    }

    /// Adds a line to `requirements.txt`.
    pub fn requirement(mut self, line: &str) -> Self {
        self.requirements.push(line.to_owned());
        self
    }

    /// Adds an entry, hostile or not.
    pub fn entry(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The archive as the source host would send it.
    pub fn archive(&self) -> Vec<u8> {
        let mut entries = self.entries.clone();
        let mut requirements = String::from("# what the tool needs\n");
        for line in &self.requirements {
            requirements.push_str(line);
            requirements.push('\n');
        }
        entries.push(Entry::file("requirements.txt", requirements));
        let name = self.repository.rsplit('/').next().unwrap_or_default();
        tar_gz(&format!("{name}-{}", self.commit), &entries)
    }

    /// The same archive with the same content, compressed in another way: other bytes, same tree.
    pub fn archive_recompressed(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(self.archive().as_slice()),
            &mut tar,
        )
        .unwrap();
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        gz.write_all(&tar).unwrap();
        gz.finish().unwrap()
    }
}
