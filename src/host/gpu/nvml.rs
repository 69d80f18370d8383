//! What NVIDIA's own libraries say: NVML for everything, the CUDA driver library for the CUDA
//! version when NVML does not tell.
//!
//! Both come with the driver and are loaded at run time. Loading is the fallible part: a library
//! can be missing, of another version than the kernel module, damaged, or hang when the GPU has
//! fallen off the bus. So everything happens on a thread of its own with a time limit, and every
//! failure becomes a sentence.

use std::{
    error::Error,
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use nvml_wrapper::{Nvml, error::NvmlError};

use super::nvidia::{Answer, AnsweredGpu};
use crate::host::{Unread, deadline};

/// How long the libraries may take: waking a GPU that nothing keeps awake takes most of a second.
const LIMIT: Duration = Duration::from_millis(1500);

/// A library that gave no answer.
pub(super) struct Problem {
    pub(super) unread: Unread,
    /// It is simply not there, rather than broken.
    pub(super) library_missing: bool,
}

/// Asks NVML and, where needed, the CUDA driver library.
pub(super) fn ask() -> (Option<Answer>, Vec<Problem>) {
    ask_with(nvml_candidates(), cuda_candidates(), LIMIT)
}

fn ask_with(
    nvml: Vec<PathBuf>,
    cuda: Vec<PathBuf>,
    limit: Duration,
) -> (Option<Answer>, Vec<Problem>) {
    let queried = deadline::within(limit, "NVIDIA driver libraries", move || {
        let mut problems = Vec::new();
        let mut answer = query(&nvml).map_err(|problem| problems.push(problem)).ok();
        if answer.as_ref().is_none_or(|a| a.cuda.is_none())
            && let Some(version) = cuda_version(&cuda)
        {
            answer.get_or_insert_default().cuda = Some(version);
        }
        (answer, problems)
    });
    queried.unwrap_or_else(|unread| {
        let late = Problem {
            unread,
            library_missing: false,
        };
        (None, vec![late])
    })
}

#[cfg(windows)]
fn nvml_candidates() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if let Some(root) = std::env::var_os("SystemRoot") {
        paths.push(PathBuf::from(root).join(r"System32\nvml.dll"));
    }
    // Where older drivers put it.
    if let Some(programs) = std::env::var_os("ProgramW6432") {
        paths.push(PathBuf::from(programs).join(r"NVIDIA Corporation\NVSMI\nvml.dll"));
    }
    paths
}

/// Where the CUDA driver library may be, best first.
#[cfg(windows)]
pub(super) fn cuda_candidates() -> Vec<PathBuf> {
    std::env::var_os("SystemRoot")
        .map(|root| PathBuf::from(root).join(r"System32\nvcuda.dll"))
        .into_iter()
        .collect()
}

/// The loader's own search first, then where WSL, NixOS and old packages keep it.
#[cfg(not(windows))]
fn nvml_candidates() -> Vec<PathBuf> {
    [
        "libnvidia-ml.so.1",
        "/usr/lib/wsl/lib/libnvidia-ml.so.1",
        "/run/opengl-driver/lib/libnvidia-ml.so.1",
        "libnvidia-ml.so",
    ]
    .map(PathBuf::from)
    .into()
}

/// Where the CUDA driver library may be, best first: the loader's own search, then as above.
#[cfg(not(windows))]
pub(super) fn cuda_candidates() -> Vec<PathBuf> {
    [
        "libcuda.so.1",
        "/usr/lib/wsl/lib/libcuda.so.1",
        "/run/opengl-driver/lib/libcuda.so.1",
    ]
    .map(PathBuf::from)
    .into()
}

/// Loads the first NVML that can be loaded and asks it everything.
fn query(candidates: &[PathBuf]) -> Result<Answer, Problem> {
    let what = candidates
        .first()
        .and_then(|path| path.file_name())
        .unwrap_or(OsStr::new("NVML"))
        .to_string_lossy();
    let mut refused = None;
    for path in candidates {
        match Nvml::builder().lib_path(path.as_os_str()).init() {
            Ok(nvml) => return Ok(everything(&nvml)),
            Err(NvmlError::LibloadingError(error)) => {
                // A missing file says less than one that is there and cannot be loaded.
                let missing = is_missing(path, &error);
                let text = told(path, &error);
                if refused
                    .as_ref()
                    .is_none_or(|(_, was_missing)| *was_missing && !missing)
                {
                    refused = Some((text, missing));
                }
            }
            Err(error) => {
                return Err(Problem {
                    unread: Unread::new(what, explain(&error)),
                    library_missing: false,
                });
            }
        }
    }
    let (why, library_missing) = refused.unwrap_or(("not looked for".to_owned(), true));
    Err(Problem {
        unread: Unread::new(what, why),
        library_missing,
    })
}

/// Whether the loader found no such file. Only its text tells where it searches by itself; Windows
/// has a text that says nothing, and is given whole paths.
fn is_missing(path: &Path, error: &dyn Error) -> bool {
    if cfg!(windows) {
        return !path.exists();
    }
    let text = error.to_string();
    text.contains("No such file") || text.contains("not found")
}

/// What the loader said, with the path and the system's reason where it leaves them out.
fn told(path: &Path, error: &dyn Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = format!("{text}: {source}");
    }
    let path = path.display().to_string();
    match text.contains(&path) {
        true => text,
        false => format!("{path}: {text}"),
    }
}

fn explain(error: &NvmlError) -> String {
    match error {
        NvmlError::DriverNotLoaded => "NVIDIA's kernel module is not loaded".to_owned(),
        NvmlError::LibRmVersionMismatch => {
            "the driver's library and its loaded kernel module are of different versions; \
             restart the machine to finish the driver's update"
                .to_owned()
        }
        NvmlError::NoPermission => "this user may not talk to the driver".to_owned(),
        NvmlError::GpuLost => "a GPU has stopped answering".to_owned(),
        other => other.to_string(),
    }
}

fn everything(nvml: &Nvml) -> Answer {
    let cuda = nvml.sys_cuda_driver_version().ok().and_then(decode_cuda);
    let count = nvml.device_count().unwrap_or(0);
    let mut answer = Answer {
        driver: nvml.sys_driver_version().ok(),
        cuda,
        ..Answer::default()
    };
    for index in 0..count {
        match nvml.device_by_index(index) {
            Ok(device) => answer.gpus.push(one(&device)),
            Err(error) => answer
                .unread
                .push(Unread::new(format!("NVIDIA GPU {index}"), explain(&error))),
        }
    }
    answer
}

fn one(device: &nvml_wrapper::Device<'_>) -> AnsweredGpu {
    let pci = device.pci_info().ok();
    let memory = device.memory_info();
    AnsweredGpu {
        name: device.name().ok(),
        pci_address: pci
            .as_ref()
            .map(|p| format!("{:04x}:{:02x}:{:02x}.0", p.domain, p.bus, p.device)),
        // The device id is in the upper half.
        pci: pci.map(|p| {
            (
                (p.pci_device_id & 0xffff) as u16,
                (p.pci_device_id >> 16) as u16,
            )
        }),
        compute_capability: device
            .cuda_compute_capability()
            .ok()
            .and_then(|c| Some((u16::try_from(c.major).ok()?, u16::try_from(c.minor).ok()?))),
        // A GPU that shares the machine's memory has none to tell of.
        shared_memory: matches!(memory, Err(NvmlError::NotSupported)),
        memory_bytes: memory.ok().map(|memory| memory.total),
    }
}

/// `12080` is CUDA 12.8.
fn decode_cuda(version: i32) -> Option<(u16, u16)> {
    let version = u16::try_from(version).ok()?;
    (version >= 1000).then_some((version / 1000, version % 1000 / 10))
}

/// The CUDA version that the driver's CUDA library supports.
fn cuda_version(candidates: &[PathBuf]) -> Option<(u16, u16)> {
    candidates.iter().find_map(|path| {
        // SAFETY: NVIDIA's library has no initialisers beyond its own, and the function has had
        // this signature since CUDA 2.2; it needs no initialisation.
        let (code, version) = unsafe {
            let library = libloading::Library::new(path).ok()?;
            let ask: libloading::Symbol<'_, unsafe extern "system" fn(*mut i32) -> i32> =
                library.get(b"cuDriverGetVersion\0").ok()?;
            let mut version = 0;
            let code = ask(&mut version);
            // Unloading a driver library is a risk without a gain.
            std::mem::forget(library);
            (code, version)
        };
        (code == 0).then_some(version).and_then(decode_cuda)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cuda_versions() {
        assert_eq!(decode_cuda(12080), Some((12, 8)));
        assert_eq!(decode_cuda(13000), Some((13, 0)));
        assert_eq!(decode_cuda(0), None);
        assert_eq!(decode_cuda(-1), None);
    }

    #[test]
    fn a_missing_library_is_no_more_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = vec![folder.path().join("libnvidia-ml.so.1")];
        let (answer, problems) = ask_with(nowhere.clone(), nowhere, Duration::from_secs(60));
        assert_eq!(answer, None);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].library_missing, "{}", problems[0].unread.why);
        assert_eq!(problems[0].unread.what, "libnvidia-ml.so.1");
    }

    #[test]
    fn a_damaged_library_is_told_rather_than_the_missing_ones_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("damaged.so");
        std::fs::write(&damaged, "not a library").unwrap();
        let paths = vec![folder.path().join("missing.so"), damaged];
        let (answer, problems) = ask_with(paths.clone(), paths, Duration::from_secs(60));
        assert_eq!(answer, None);
        assert!(problems[0].unread.why.contains("damaged.so"));
        assert!(!problems[0].library_missing);
    }
}
