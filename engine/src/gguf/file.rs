//! A model on disk: one file or several, mapped into memory.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::error::{Error, Flaw};
use super::read::{self, Header};
use super::write::{part_name, part_suffix};
use super::{Metadata, Tensor};

/// A GGUF model, checked as a whole: every tensor that it lists has its bytes.
///
/// The files are mapped, not read: opening costs little, and pages come in when they are used.
/// They must not be changed or cut while the value lives; the bytes would change under its users,
/// and on most systems access to a part that was cut off ends the process.
#[derive(Debug)]
pub struct File {
    version: u32,
    alignment: u64,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    by_name: HashMap<String, usize>,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    /// Where it is on disk, if it is there.
    path: Option<PathBuf>,
    bytes: Bytes,
    /// Where its data section begins.
    data: usize,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl File {
    /// Opens the model at `path`. Of a split model (`…-00001-of-00003.gguf`) any part may be
    /// named; the others must lie beside it.
    ///
    /// # Errors
    /// The file cannot be opened, is no sound GGUF file, or a part is missing.
    pub fn open(path: impl AsRef<Path>) -> Result<File, Error> {
        let path = path.as_ref();
        let (bytes, header) = load(path, 0)?;
        let parts = split_number(&header.metadata, "split.count", path)?.unwrap_or(1);
        if parts <= 1 {
            return Ok(File::from_parts(vec![(bytes, header)]).at(vec![path.to_owned()]));
        }
        let own = split_number(&header.metadata, "split.no", path)?.unwrap_or(0);
        let names = Names::of(path, own, parts)?;
        let mut first = Some((bytes, header));
        let mut all = Vec::new();
        for no in 0..parts {
            let part = names.part(no);
            let loaded = match first.take() {
                Some((bytes, mut header)) if no == own => {
                    for tensor in &mut header.tensors {
                        tensor.shard = no as usize;
                    }
                    (bytes, header)
                }
                other => {
                    first = other;
                    load(&part, no as usize).map_err(|error| missing(path, error))?
                }
            };
            let count = split_number(&loaded.1.metadata, "split.count", &part)?;
            let number = split_number(&loaded.1.metadata, "split.no", &part)?.unwrap_or(0);
            if count != Some(parts) || number != no {
                let problem = format!(
                    "`{}` says that it is part {} of {}, where part {} of {parts} must be",
                    part.display(),
                    number + 1,
                    count.unwrap_or(1),
                    no + 1,
                );
                return Err(split(path, problem));
            }
            all.push(loaded);
        }
        agree(path, &all)?;
        Ok(File::from_parts(all).at((0..parts).map(|no| names.part(no)).collect()))
    }

    /// Reads a model from memory.
    ///
    /// # Errors
    /// The bytes are no sound GGUF file. A part of a split model is taken by itself.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<File, Flaw> {
        let header = read::header(&bytes, 0)?;
        Ok(File::from_parts(vec![(Bytes::Owned(bytes), header)]))
    }

    fn from_parts(parts: Vec<(Bytes, Header)>) -> File {
        let mut file = File {
            version: 3,
            alignment: read::DEFAULT_ALIGNMENT,
            metadata: Metadata::default(),
            tensors: Vec::new(),
            by_name: HashMap::new(),
            shards: Vec::new(),
        };
        for (no, (bytes, header)) in parts.into_iter().enumerate() {
            if no == 0 {
                file.version = header.version;
                file.alignment = header.alignment;
                file.metadata = header.metadata;
            }
            for tensor in header.tensors {
                file.by_name.insert(tensor.name.clone(), file.tensors.len());
                file.tensors.push(tensor);
            }
            file.shards.push(Shard {
                path: None,
                bytes,
                data: header.data,
            });
        }
        file
    }

    /// With the places of its parts.
    fn at(mut self, paths: Vec<PathBuf>) -> File {
        for (shard, path) in self.shards.iter_mut().zip(paths) {
            shard.path = Some(path);
        }
        self
    }

    /// Whether `path` is one of the files that the model is made of, by whatever name or link. To
    /// write there would change the model under its users.
    pub fn is_at(&self, path: &Path) -> bool {
        // A pipe is none, and to open one may wait for ever.
        let plain = fs::metadata(path).is_ok_and(|about| about.is_file());
        let mut own = self.shards.iter().filter_map(|shard| shard.path.as_deref());
        plain && own.any(|own| same_file::is_same_file(own, path).unwrap_or(false))
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Tensors' data begins at multiples of this many bytes.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// The metadata; of a split model, that of its first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor called `name` and its bytes: whole rows of blocks, in order.
    pub fn tensor(&self, name: &str) -> Option<(&Tensor, &[u8])> {
        let tensor = &self.tensors[*self.by_name.get(name)?];
        Some((tensor, self.data(tensor)?))
    }

    /// The bytes of one of [`tensors`](File::tensors); none for a tensor of another file that does
    /// not fit in here.
    pub fn data(&self, tensor: &Tensor) -> Option<&[u8]> {
        let shard = self.shards.get(tensor.shard)?;
        let data = shard.bytes.as_slice().get(shard.data..)?;
        data.get(tensor.offset as usize..)?
            .get(..tensor.bytes() as usize)
    }

    /// Number of files that the model is made of.
    pub fn parts(&self) -> usize {
        self.shards.len()
    }

    /// Size of all its files in bytes.
    pub fn size(&self) -> u64 {
        let sizes = self.shards.iter().map(|shard| shard.bytes.as_slice().len());
        sizes.sum::<usize>() as u64
    }
}

fn load(path: &Path, shard: usize) -> Result<(Bytes, Header), Error> {
    let failed = |cause| Error::Open {
        path: path.to_owned(),
        cause,
    };
    // Before it is opened: to open a pipe waits until something writes into it.
    let about = fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    if !about.is_file() {
        return Err(failed(std::io::Error::other(
            "it is a pipe or a device, and a model is read from a plain file only",
        )));
    }
    let file = fs::File::open(path).map_err(failed)?;
    let bytes = if file.metadata().map_err(failed)?.len() == 0 {
        // Some systems refuse to map nothing.
        Bytes::Owned(Vec::new())
    } else {
        // SAFETY: the mapping is read-only and private to this value. That nobody changes the file
        // meanwhile cannot be made sure of from here; the documentation of `File` demands it. All
        // checks are made once, on sizes and offsets that are copied out, and every later access
        // is bounded by the mapping's length, so a change can alter numbers but not lead outside.
        Bytes::Mapped(unsafe { Mmap::map(&file) }.map_err(failed)?)
    };
    match read::header(bytes.as_slice(), shard) {
        Ok(header) => Ok((bytes, header)),
        Err(cause) => Err(Error::Bad {
            path: path.to_owned(),
            cause,
        }),
    }
}

fn split(path: &Path, problem: String) -> Error {
    Error::Split {
        path: path.to_owned(),
        problem,
    }
}

/// Says of a part that cannot be opened that it is one.
fn missing(path: &Path, error: Error) -> Error {
    match error {
        Error::Open { path: part, cause } => split(
            path,
            format!(
                "its part `{}` cannot be opened: {cause}; all parts must lie in one folder",
                part.display()
            ),
        ),
        other => other,
    }
}

fn split_number(metadata: &Metadata, key: &str, path: &Path) -> Result<Option<u64>, Error> {
    match metadata.count(key) {
        Ok(Some(n)) if n > u64::from(u16::MAX) => Err(split(path, format!("its `{key}` is {n}"))),
        Ok(n) => Ok(n),
        Err(error) => Err(split(path, error.to_string())),
    }
}

/// Checks what only all parts together can show.
fn agree(path: &Path, parts: &[(Bytes, Header)]) -> Result<(), Error> {
    let mut seen = HashMap::new();
    for tensor in parts.iter().flat_map(|(_, header)| &header.tensors) {
        if let Some(other) = seen.insert(tensor.name.as_str(), tensor.shard) {
            let problem = format!(
                "tensor `{}` is in part {} and in part {}",
                tensor.name,
                other + 1,
                tensor.shard + 1
            );
            return Err(split(path, problem));
        }
    }
    let Some((_, first)) = parts.first() else {
        return Ok(());
    };
    match first.metadata.count("split.tensors.count") {
        Ok(Some(said)) if said != seen.len() as u64 => Err(split(
            path,
            format!(
                "its parts have {} tensors together, where {said} must be",
                seen.len()
            ),
        )),
        _ => Ok(()),
    }
}

/// The names of the parts: `<prefix>-00001-of-00003.gguf`.
struct Names {
    folder: PathBuf,
    prefix: String,
    parts: u64,
}

impl Names {
    fn of(path: &Path, own: u64, parts: u64) -> Result<Names, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let suffix = part_suffix(own, parts);
        let Some(prefix) = name.strip_suffix(&suffix) else {
            let problem = format!(
                "its name does not end in `{suffix}`, so that the other parts cannot be found"
            );
            return Err(split(path, problem));
        };
        Ok(Names {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            prefix: prefix.to_owned(),
            parts,
        })
    }

    fn part(&self, no: u64) -> PathBuf {
        self.folder.join(part_name(&self.prefix, no, self.parts))
    }
}
