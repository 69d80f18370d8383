//! Reading a saved [`Host`] (`--host FILE`), with care: the file comes from another machine,
//! another version of aienv, or somebody's editor.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::error::Category;

use super::{Gpu, GpuVendor, Host, SCHEMA};
use crate::{error::UserError, types::Os};

/// A saved host that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The file cannot be read.
    #[error("could not read the saved host `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file ends too early.
    #[error("the saved host `{}` is empty or cut off", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("`{}` is not JSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where the text departs from JSON.
        #[source]
        source: serde_json::Error,
    },
    /// The file is JSON, but not a host.
    #[error("`{}` is not a saved host", path.display())]
    NotAHost {
        /// The file.
        path: PathBuf,
        /// What is missing or of the wrong kind.
        #[source]
        source: serde_json::Error,
    },
    /// A later aienv wrote it.
    #[error(
        "the saved host `{}` has format {found}, and this aienv knows formats up to {SCHEMA}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The contents cannot be true of any machine.
    #[error("the saved host `{}` contradicts itself: {what}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        what: String,
    },
}

impl UserError for HostError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "host.unreadable",
            Self::Truncated { .. } => "host.truncated",
            Self::NotJson { .. } => "host.not-json",
            Self::NotAHost { .. } => "host.not-a-host",
            Self::Newer { .. } => "host.newer-format",
            Self::Contradiction { .. } => "host.contradiction",
        }
    }

    fn hint(&self) -> Option<String> {
        const WRITE: &str = "write it on the machine it describes: `aienv host --json > box.json`";
        match self {
            Self::Newer { .. } => Some("update aienv on this machine".to_owned()),
            Self::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => None,
            _ => Some(WRITE.to_owned()),
        }
    }
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    schema: u64,
}

impl Host {
    /// Reads what `aienv host --json` wrote.
    ///
    /// # Errors
    /// When the file is missing, cut off, no JSON, of a later format, or contradicts itself.
    pub fn load(path: &Path) -> Result<Self, HostError> {
        let bytes = fs::read(path).map_err(|source| HostError::Read {
            path: path.to_owned(),
            source,
        })?;
        let text = decode(&bytes);
        let refuse = |source: serde_json::Error| {
            let path = path.to_owned();
            match source.classify() {
                Category::Eof => HostError::Truncated { path },
                Category::Syntax | Category::Io => HostError::NotJson { path, source },
                Category::Data => HostError::NotAHost { path, source },
            }
        };
        // Before anything else: a later format may lack what this one needs.
        let format: Format = serde_json::from_str(&text).map_err(refuse)?;
        if format.schema > SCHEMA.into() {
            return Err(HostError::Newer {
                path: path.to_owned(),
                found: format.schema,
            });
        }
        let host: Self = serde_json::from_str(&text).map_err(refuse)?;
        match host.contradiction() {
            Some(what) => Err(HostError::Contradiction {
                path: path.to_owned(),
                what,
            }),
            None => Ok(host),
        }
    }

    /// What cannot be true of any machine, in a few words.
    fn contradiction(&self) -> Option<String> {
        self.format_contradiction()
            .or_else(|| self.system_contradiction())
            .or_else(|| self.gpus.iter().find_map(|gpu| self.gpu_contradiction(gpu)))
    }

    fn format_contradiction(&self) -> Option<String> {
        (self.schema == 0).then(|| "its format is 0, and the first one was 1".to_owned())
    }

    fn system_contradiction(&self) -> Option<String> {
        let os = &self.os;
        let is_a_name = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_a_name(&os.id) || !is_a_name(&os.name) {
            return Some("the operating system has no name".to_owned());
        }
        // Wheels are chosen by it.
        let begins_with_number = os.version.starts_with(|c: char| c.is_ascii_digit());
        if os.family == Os::Macos && !begins_with_number {
            return Some(format!("`{}` is no macOS version", os.version));
        }
        if os.family != Os::Linux && os.libc.is_some() {
            return Some("only Linux has a glibc or musl version".to_owned());
        }
        if os.family != Os::Macos && os.rosetta {
            return Some("only macOS has Rosetta".to_owned());
        }
        if self.cpu.cores == 0 {
            return Some("the processor has no cores".to_owned());
        }
        if self.memory_bytes == Some(0) {
            return Some("the machine has no memory".to_owned());
        }
        match (self.surroundings.wsl, os.family) {
            (None | Some(1 | 2), Os::Linux) | (None, _) => {}
            (Some(version), Os::Linux) => return Some(format!("there is no WSL {version}")),
            (Some(_), _) => return Some("only Linux runs in WSL".to_owned()),
        }
        if let Some((major, minor)) = self.nvidia.as_ref().and_then(|driver| driver.cuda)
            && (major == 0 || minor > 99)
        {
            return Some(format!("there is no CUDA {major}.{minor}"));
        }
        None
    }

    fn gpu_contradiction(&self, gpu: &Gpu) -> Option<String> {
        let name = &gpu.name;
        if name.trim().is_empty() {
            return Some("a GPU has no name".to_owned());
        }
        let is_apple = gpu.vendor == GpuVendor::Apple;
        if is_apple && self.os.family != Os::Macos {
            return Some(format!("`{name}` is a GPU of Apple's outside macOS"));
        }
        if gpu.compute_capability.is_some() && gpu.vendor != GpuVendor::Nvidia {
            return Some(format!(
                "`{name}` has a compute capability, which only NVIDIA's GPUs have"
            ));
        }
        if let Some(gfx) = &gpu.gfx {
            if gpu.vendor != GpuVendor::Amd {
                return Some(format!(
                    "`{name}` has a gfx target, which only AMD's GPUs have"
                ));
            }
            let digits = gfx.strip_prefix("gfx").unwrap_or_default();
            if digits.len() < 3 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Some(format!("`{gfx}` of `{name}` is no gfx target"));
            }
        }
        None
    }
}

/// The text of a file. A redirection in Windows PowerShell writes UTF-16, and editors on Windows
/// put a mark before UTF-8.
fn decode(bytes: &[u8]) -> String {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn valid() -> Value {
        json!({
            "schema": 1,
            "os": {
                "family": "linux", "id": "debian", "name": "Debian GNU/Linux 12", "version": "12",
                "libc": {"family": "glibc", "major": 2, "minor": 36}
            },
            "cpu": {"arch": "x86_64", "cores": 8},
            "gpus": [{
                "vendor": "nvidia", "name": "NVIDIA GeForce RTX 4090",
                "compute_capability": [8, 9]
            }],
            "nvidia": {"version": "580.95.05", "cuda": [13, 0]}
        })
    }

    fn load(bytes: &[u8]) -> Result<Host, HostError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("box.json");
        fs::write(&path, bytes).unwrap();
        Host::load(&path)
    }

    fn changed(pointer: &str, value: Value) -> Result<Host, HostError> {
        let mut host = valid();
        match host.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                host.pointer_mut(parent).unwrap()[key] = value;
            }
        }
        load(host.to_string().as_bytes())
    }

    #[test]
    fn a_minimal_host_is_enough() {
        let host = load(valid().to_string().as_bytes()).unwrap();
        assert_eq!(host.gpus[0].compute_capability, Some((8, 9)));
        assert_eq!(
            host.target().to_string(),
            "x86_64-unknown-linux-gnu (glibc 2.36)"
        );
        let again = serde_json::to_value(&host).unwrap();
        assert_eq!(again["nvidia"]["version"], "580.95.05");
    }

    #[test]
    fn what_windows_writes_is_read() {
        let text = valid().to_string();
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        assert!(load(&utf16).is_ok());
        assert!(load(&[b"\xef\xbb\xbf", text.as_bytes()].concat()).is_ok());
    }

    #[test]
    fn files_that_are_no_host() {
        let text = valid().to_string();
        let code = |bytes: &[u8]| load(bytes).unwrap_err().code();
        assert_eq!(code(b""), "host.truncated");
        assert_eq!(code(&text.as_bytes()[..text.len() / 2]), "host.truncated");
        assert_eq!(code(b"System     Debian"), "host.not-json");
        assert_eq!(code(b"<html></html>"), "host.not-json");
        assert_eq!(code(b"{}"), "host.not-a-host");
        assert_eq!(code(b"[]"), "host.not-a-host");
        assert_eq!(code(b"{\"schema\": 1}"), "host.not-a-host");
        // A later format is told as such, whatever else has changed in it.
        assert_eq!(
            code(b"{\"schema\": 99, \"machine\": {}}"),
            "host.newer-format"
        );
        let missing = Host::load(Path::new("/no/such/box.json")).unwrap_err();
        assert_eq!(missing.code(), "host.unreadable");
        assert!(missing.hint().unwrap().contains("aienv host --json"));
    }

    #[test]
    fn a_gpu_without_its_maker_is_named_as_the_reason() {
        let error = changed("/gpus/0", json!({"name": "GeForce"})).unwrap_err();
        assert_eq!(error.code(), "host.not-a-host");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("vendor"), "{cause}");
    }

    #[test]
    fn contradictions() {
        for (pointer, value, what) in [
            ("/os/id", json!(""), "no name"),
            ("/os/name", json!("  "), "no name"),
            ("/os/name", json!("\u{0}\u{1}"), "no name"),
            ("/os/rosetta", json!(true), "Rosetta"),
            ("/schema", json!(0), "format"),
            ("/cpu/cores", json!(0), "no cores"),
            ("/memory_bytes", json!(0), "no memory"),
            ("/surroundings", json!({"wsl": 3}), "no WSL 3"),
            ("/nvidia/cuda", json!([0, 0]), "no CUDA 0.0"),
            ("/gpus/0/name", json!(""), "no name"),
            ("/gpus/0/gfx", json!("gfx1100"), "gfx target"),
            ("/gpus/0/vendor", json!("amd"), "compute capability"),
            ("/gpus/0/vendor", json!("apple"), "outside macOS"),
            (
                "/gpus/0",
                json!({"vendor": "amd", "name": "Radeon", "gfx": "navi31"}),
                "no gfx target",
            ),
            (
                "/os",
                json!({"family": "macos", "id": "macos", "name": "macOS", "version": "new"}),
                "no macOS version",
            ),
            (
                "/os",
                json!({
                    "family": "windows", "id": "windows", "name": "Windows 11",
                    "libc": {"family": "glibc", "major": 2, "minor": 36}
                }),
                "glibc",
            ),
        ] {
            let error = changed(pointer, value).unwrap_err();
            assert_eq!(error.code(), "host.contradiction", "{pointer}: {error}");
            assert!(error.to_string().contains(what), "{pointer}: {error}");
        }
    }

    #[test]
    fn an_unknown_system_or_maker_is_refused() {
        for (pointer, value) in [
            ("/os/family", json!("plan9")),
            ("/os/family", json!("")),
            ("/gpus/0/vendor", json!("3dfx")),
            ("/cpu/arch", json!("m68k")),
            ("/cpu/cores", json!(-1)),
            ("/nvidia/version", json!("new")),
        ] {
            let error = changed(pointer, value).unwrap_err();
            assert_eq!(error.code(), "host.not-a-host", "{pointer}: {error}");
        }
    }
}
