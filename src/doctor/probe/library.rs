//! A driver library, loaded for the rest of the process's life.

use std::{error::Error as _, path::PathBuf};

use super::{Trouble, event::calling};

/// A loaded library. It is never unloaded: driver libraries keep threads and exit handlers, and
/// the process that loads them ends soon.
pub(super) struct Library {
    inner: &'static libloading::Library,
    /// Where it was found, as the loader was asked.
    pub(super) path: PathBuf,
}

impl Library {
    /// The first of the candidates that can be loaded. When none can, the failure of one that is
    /// there and broken says more than that of those that are missing.
    pub(super) fn open(candidates: Vec<PathBuf>) -> Result<Self, Trouble> {
        let mut failure: Option<(bool, String)> = None;
        for path in candidates {
            calling(&format!("loading {}", path.display()));
            // SAFETY: these are the vendors' driver libraries, whose initialisers are made to be
            // run by any program; if one misbehaves, only this process, made for that, suffers.
            match unsafe { libloading::Library::new(&path) } {
                Ok(library) => {
                    return Ok(Self {
                        inner: Box::leak(Box::new(library)),
                        path,
                    });
                }
                Err(error) => {
                    let cause = error.source().map(|cause| format!(": {cause}"));
                    let mut why = format!("{error}{}", cause.unwrap_or_default());
                    if !why.contains(&*path.to_string_lossy()) {
                        why = format!("{}: {why}", path.display());
                    }
                    let missing = is_missing(&path, &why);
                    if failure.as_ref().is_none_or(|(was, _)| *was && !missing) {
                        failure = Some((missing, why));
                    }
                }
            }
        }
        let (missing, why) = failure.unwrap_or((true, "there is none for this system".to_owned()));
        Err(Trouble::Library { missing, why })
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` must be a function pointer with the signature that the library documents for `name`.
    pub(super) unsafe fn function<F: Copy>(&self, name: &'static str) -> Result<F, Trouble> {
        // SAFETY: the caller vouches for the type; the library is never unloaded, so the pointer
        // stays good.
        unsafe { self.inner.get::<F>(name) }
            .map(|symbol| *symbol)
            .map_err(|_| Trouble::Symbol {
                name: name.to_owned(),
            })
    }

    /// The file that the loader took, where the kernel tells what is mapped; else the name asked
    /// for.
    pub(super) fn file(&self) -> String {
        let asked = self.path.to_string_lossy().into_owned();
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else {
            return asked;
        };
        // `libcuda.so.1` is mapped under its real name, `libcuda.so.580.95.05`.
        let stem = name.split(".so").next().unwrap_or(name);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        maps.lines()
            .filter_map(|line| line.find('/').map(|start| &line[start..]))
            .find(|path| {
                let file = path.rsplit('/').next().unwrap_or_default();
                file.strip_prefix(stem)
                    .is_some_and(|rest| rest.starts_with(".so"))
            })
            .map_or(asked, str::to_owned)
    }
}

/// Only the loader's text tells a missing file from a broken one; Windows has a text that says
/// nothing, and is given whole paths.
fn is_missing(path: &std::path::Path, why: &str) -> bool {
    if cfg!(windows) {
        return !path.exists();
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    // That another library, needed by this one, is missing, is a broken library.
    let subject = format!("{file}: ");
    why.split_once(&subject)
        .is_some_and(|(_, rest)| rest.contains("No such file"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_broken_library_is_told_before_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("libbroken.so.1");
        std::fs::write(&broken, "not a library").unwrap();
        let missing = folder.path().join("libmissing.so.1");
        let Err(Trouble::Library { missing: m, why }) =
            Library::open(vec![missing.clone(), broken])
        else {
            panic!("it was loaded")
        };
        assert!(!m && why.contains("libbroken"), "{why}");
        let Err(Trouble::Library { missing: m, .. }) = Library::open(vec![missing]) else {
            panic!("it was loaded")
        };
        assert!(m);
    }

    #[test]
    fn a_library_that_another_one_needs_makes_it_broken() {
        let path = std::path::Path::new("libcuda.so.1");
        for (why, missing) in [
            (
                "dlopen failed: libcuda.so.1: cannot open shared object file: No such file or \
                 directory",
                true,
            ),
            (
                "dlopen failed: libdxcore.so: cannot open shared object file: No such file or \
                 directory",
                false,
            ),
            (
                "Error loading shared library libdxcore.so: No such file or directory (needed by \
                 /usr/lib/wsl/lib/libcuda.so.1)",
                false,
            ),
        ] {
            assert!(cfg!(windows) || is_missing(path, why) == missing, "{why}");
        }
    }
}
