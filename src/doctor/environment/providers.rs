//! Whose a library is that is not there: `manifests/doctor/libraries.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use crate::doctor::{
    Fix,
    remedy::{System, remedy},
};

const DATA: &str = include_str!("../../../manifests/doctor/libraries.toml");

/// The major version of CUDA from which on wheels of the toolkit have names without it.
const PLAIN_NAMES: u16 = 13;

/// What a library is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// CUDA's runtime libraries, cuDNN and NCCL among them.
    Cuda,
    /// The driver of a GPU.
    Driver,
    /// ROCm.
    Rocm,
    /// Support for hardware or programs that few have, without which packages work.
    Hardware,
    /// Windows on a screen.
    Display,
    /// The system.
    System,
    /// The Visual C++ runtime.
    Vc,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[expect(dead_code, reason = "for readers of the file")]
    schema: u32,
    #[expect(dead_code, reason = "for readers of the file")]
    as_of: String,
    library: Vec<Library>,
}

/// A row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    names: Vec<String>,
    #[serde(rename = "kind")]
    /// What it is part of.
    pub part: Part,
    #[serde(default)]
    wheel: Option<String>,
    #[serde(default)]
    numbered: bool,
    #[serde(default)]
    sonames: BTreeMap<String, Vec<u16>>,
    #[serde(default)]
    apt: Option<String>,
    #[serde(default)]
    dnf: Option<String>,
    #[serde(default)]
    pacman: Option<String>,
    #[serde(default)]
    zypper: Option<String>,
    #[expect(dead_code, reason = "for readers of the file")]
    source: Vec<String>,
}

static TABLE: LazyLock<Vec<Library>> = LazyLock::new(|| {
    // The file is part of the program and a test reads it; it cannot be wrong at run time.
    let file: File =
        toml::from_str(DATA).unwrap_or_else(|error| unreachable!("libraries.toml: {error}"));
    file.library
});

impl Library {
    /// The row of a library by its file name, of whatever version.
    pub fn named(file: &str) -> Option<&'static Self> {
        let stem = stem(file);
        // `libcufile_rdma` is a name of its own and would pass for a part of `libcufile`.
        let longest = |row: &&Self| {
            let names = row.names.iter().filter(|name| is_name(stem, name));
            names.map(String::len).max()
        };
        TABLE
            .iter()
            .filter_map(|row| Some((longest(&row)?, row)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, row)| row)
    }

    /// The major versions of CUDA that a library of this name belongs to; empty where it is no
    /// part of CUDA, or does not tell.
    pub fn cuda_majors(&self, file: &str) -> Vec<u16> {
        if self.part != Part::Cuda {
            return Vec::new();
        }
        let Some(number) = number(file) else {
            return Vec::new();
        };
        if !self.sonames.is_empty() {
            let known = self.sonames.get(&number.to_string());
            return known.cloned().unwrap_or_default();
        }
        // `cudart64_110.dll` is CUDA 11, `cudart64_12.dll` is CUDA 12.
        vec![if number >= 100 { number / 10 } else { number }]
    }

    /// NVIDIA's wheel that brings it, for a major version of CUDA.
    pub fn wheel(&self, major: u16) -> Option<String> {
        let wheel = self.wheel.as_ref()?;
        Some(match major >= PLAIN_NAMES && !self.numbered {
            true => format!("{wheel}>={major},<{}", major + 1),
            false => format!("{wheel}-cu{major}"),
        })
    }

    /// How the system installs it, where that is known.
    pub fn install(&self, system: &System) -> Option<Fix> {
        let values: Vec<(&str, &str)> = [
            ("apt", &self.apt),
            ("dnf", &self.dnf),
            ("pacman", &self.pacman),
            ("zypper", &self.zypper),
        ]
        .into_iter()
        .filter_map(|(tool, package)| Some((tool, package.as_deref()?)))
        .collect();
        (!values.is_empty()).then(|| remedy("install-library", system, &values))
    }
}

/// A file name without its endings and version: `libcudart.so.12` is `libcudart`.
fn stem(file: &str) -> &str {
    let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let lower = file.to_ascii_lowercase();
    let end = [".so", ".dll", ".dylib"]
        .iter()
        .filter_map(|ending| lower.find(ending))
        .min()
        .unwrap_or(file.len());
    &file[..end]
}

/// Whether a stem is that name: itself, one with a version (`libglib-2.0`, `cublas64_12`), or, for
/// cuDNN, one of its parts (`libcudnn_ops`).
fn is_name(stem: &str, name: &str) -> bool {
    let has_prefix = stem
        .get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name));
    if !has_prefix {
        return false;
    }
    let rest = &stem[name.len()..];
    rest.is_empty()
        || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || rest.starts_with('_')
        || name.ends_with('_')
}

/// The first number of a library's version: 12 of `libcudart.so.12` and of `cudart64_12.dll`.
fn number(file: &str) -> Option<u16> {
    let file = file.rsplit(['/', '\\']).next()?;
    let version = match file.split_once(".so.") {
        Some((_, version)) => version,
        None => {
            let stem = stem(file);
            stem.rsplit_once(['_', '.']).map(|(_, version)| version)?
        }
    };
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn majors(file: &str) -> Vec<u16> {
        Library::named(file).unwrap().cuda_majors(file)
    }

    #[test]
    fn every_row_is_sound() {
        let legend: BTreeSet<&str> = DATA
            .lines()
            .skip_while(|line| !line.starts_with("# Sources:"))
            .skip(1)
            .take_while(|line| line.starts_with("#   "))
            .filter_map(|line| line[4..].split_whitespace().next())
            .collect();
        let file: toml::Table = toml::from_str(DATA).unwrap();
        for row in file["library"].as_array().unwrap() {
            for source in row["source"].as_array().unwrap() {
                assert!(legend.contains(source.as_str().unwrap()), "{source}");
            }
        }
        let mut names = BTreeSet::new();
        for row in TABLE.iter() {
            for name in &row.names {
                assert!(names.insert(name.to_lowercase()), "{name} twice");
            }
            assert_eq!(
                row.part == Part::Cuda,
                row.wheel.is_some(),
                "{:?}",
                row.names
            );
            let packages = [&row.apt, &row.dnf, &row.pacman, &row.zypper];
            let known = packages.iter().filter(|package| package.is_some()).count();
            assert!(known == 0 || known == packages.len(), "{:?}", row.names);
        }
    }

    #[test]
    fn cuda_majors_by_file_name() {
        for (file, expected) in [
            ("libcudart.so.12", vec![12]),
            ("libcudart.so.11.0", vec![11]),
            ("cudart64_110.dll", vec![11]),
            ("cudart64_12.dll", vec![12]),
            ("cublasLt64_13.dll", vec![13]),
            ("libcufft.so.11", vec![12]),
            ("libcusparse.so.12", vec![12, 13]),
            ("libcudnn_ops.so.9", vec![12, 13]),
            ("libcudnn.so.8", vec![11, 12]),
            ("cudnn64_9.dll", vec![12, 13]),
            ("libcudart.so", vec![]),
        ] {
            assert_eq!(majors(file), expected, "{file}");
        }
    }

    #[test]
    fn names_are_whole_names() {
        let part = |file: &str| Library::named(file).map(|row| row.part);
        assert_eq!(part("libcuda.so.1"), Some(Part::Driver));
        assert_eq!(part("libcudart.so.12"), Some(Part::Cuda));
        assert_eq!(part("libGL.so.1"), Some(Part::Display));
        assert_eq!(part("libglib-2.0.so.0"), Some(Part::Display));
        assert_eq!(part("libcufile_rdma.so.1"), Some(Part::Hardware));
        assert_eq!(part("VCRUNTIME140_1.dll"), Some(Part::Vc));
        assert_eq!(part("libGLOBAL.so"), None);
        assert_eq!(part("libtorch.so"), None);
    }

    #[test]
    fn wheels_by_major() {
        let wheel = |file: &str, major| Library::named(file).unwrap().wheel(major).unwrap();
        assert_eq!(wheel("libcublas.so.12", 12), "nvidia-cublas-cu12");
        assert_eq!(wheel("libcublas.so.13", 13), "nvidia-cublas>=13,<14");
        assert_eq!(wheel("libcudnn.so.9", 13), "nvidia-cudnn-cu13");
    }
}
