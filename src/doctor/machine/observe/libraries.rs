//! Which file the loader takes for a driver's library, and which others there are.
//!
//! The same name often exists several times: the driver's own, a stub that the CUDA toolkit ships
//! for linking, a compatibility package's, one for 32-bit programs. A program gets the first that
//! fits its processor: in the folders of `LD_LIBRARY_PATH`, then in the loader's cache, then in
//! the default folders (`ld.so(8)`).

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    host::root::Root,
    native::LdCache,
    types::{Arch, Version},
};

/// Where a library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In a folder of `LD_LIBRARY_PATH`.
    Variable,
    /// In the loader's cache, or a default folder.
    System,
}

/// A library by the name that programs ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Library {
    /// `libcuda.so.1`.
    pub name: String,
    /// The path at which the loader finds it.
    pub path: Option<String>,
    /// The file behind it, links resolved: `libcuda.so.580.95.05`.
    pub file: Option<String>,
    /// How the loader gets there.
    pub place: Option<Place>,
    /// Further ones that it passes over because it has one already, files resolved.
    pub later: Vec<String>,
    /// Files of this name in folders where the loader does not look.
    pub unseen: Vec<String>,
}

impl Library {
    /// The version in the file's name, where drivers put theirs. Small numbers are those of an
    /// interface (`libcuda.so.1.1`), not of a driver.
    pub fn driver_version(&self) -> Option<Version> {
        version_of_file(self.file.as_deref()?)
    }

    /// It is one that the CUDA toolkit ships for linking: its functions only report an error.
    pub fn is_stub(&self) -> bool {
        let path = self.path.as_deref().unwrap_or_default();
        path.contains("/stubs/")
    }
}

/// The driver version in a file name such as `libcuda.so.580.95.05`.
pub(in crate::doctor) fn version_of_file(path: &str) -> Option<Version> {
    let (_, text) = path.rsplit('/').next()?.split_once(".so.")?;
    let version: Version = text.parse().ok()?;
    (version.release().first() > Some(&100)).then_some(version)
}

/// Folders that hold drivers' libraries and that a loader may not know.
const UNSEEN: &[&str] = &[
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/usr/lib/{arch}-linux-gnu",
    "/usr/lib/{arch}-linux-gnu/nvidia/current",
    "/usr/lib64",
    "/usr/lib64/nvidia",
    "/usr/lib",
    "/usr/lib/nvidia",
    "/usr/local/nvidia/lib64",
    "/usr/local/cuda/compat",
    "/opt/rocm/lib",
];

/// The loader of a Linux machine.
pub(in crate::doctor) struct Loader<'r> {
    root: &'r Root,
    arch: Arch,
    variable: Vec<String>,
    cache: LdCache,
}

impl<'r> Loader<'r> {
    /// Reads the loader's cache. `library_path` is the value of `LD_LIBRARY_PATH`.
    pub(in crate::doctor) fn read(root: &'r Root, arch: Arch, library_path: &str) -> Self {
        let folders = library_path.split([':', ';']);
        Self {
            root,
            arch,
            variable: folders
                // An empty entry and a relative one mean the folder a program is started in.
                .filter(|folder| folder.starts_with('/'))
                .map(|folder| folder.trim_end_matches('/').to_owned())
                .collect(),
            cache: LdCache::read(&root.path("/etc/ld.so.cache")),
        }
    }

    /// The library that programs get under a name.
    pub(in crate::doctor) fn find(&self, name: &str) -> Library {
        let mut library = Library {
            name: name.to_owned(),
            ..Library::default()
        };
        let by_variable = self
            .variable
            .iter()
            .map(|folder| format!("{folder}/{name}"));
        let by_cache = self.cache.of(name).map(|entry| entry.path.clone());
        let by_default = self.default_folders().into_iter();
        let by_default = by_default.map(|folder| format!("{folder}/{name}"));
        let candidates = by_variable
            .map(|path| (path, Place::Variable))
            .chain(by_cache.map(|path| (path, Place::System)))
            .chain(by_default.map(|path| (path, Place::System)));
        for (path, place) in candidates {
            let Some(file) = self.file(&path) else {
                continue;
            };
            if library.file.is_none() {
                library.path = Some(path);
                library.file = Some(file);
                library.place = Some(place);
            } else if library.file.as_ref() != Some(&file) && !library.later.contains(&file) {
                library.later.push(file);
            }
        }
        for folder in UNSEEN {
            let folder = folder.replace("{arch}", self.triple());
            let path = format!("{folder}/{name}");
            if let Some(file) = self.file(&path)
                && library.file.as_ref() != Some(&file)
                && !library.later.contains(&file)
                && !library.unseen.contains(&file)
            {
                library.unseen.push(file);
            }
        }
        library
    }

    fn triple(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    fn default_folders(&self) -> Vec<String> {
        let multiarch = format!("{}-linux-gnu", self.triple());
        vec![
            format!("/lib/{multiarch}"),
            format!("/usr/lib/{multiarch}"),
            "/lib64".to_owned(),
            "/usr/lib64".to_owned(),
            "/lib".to_owned(),
            "/usr/lib".to_owned(),
        ]
    }

    /// The file at a path, links resolved, if it is a library for this processor.
    fn file(&self, path: &str) -> Option<String> {
        let place = self.root.path(path);
        is_for(&place, self.arch).then_some(())?;
        let real = fs::canonicalize(&place).unwrap_or(place);
        Some(self.outside(&real))
    }

    /// A path below the root, as the machine itself writes it.
    fn outside(&self, real: &Path) -> String {
        let base: PathBuf = self.root.path("/");
        let base = fs::canonicalize(&base).unwrap_or(base);
        match real.strip_prefix(&base) {
            Ok(rest) => format!("/{}", rest.display()),
            Err(_) => real.display().to_string(),
        }
    }
}

/// Whether a file is an ELF file for a processor: magic, class 64 bit, and the machine's number.
fn is_for(path: &Path, arch: Arch) -> bool {
    let mut head = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    let machine = match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    };
    read.is_ok() && head.starts_with(b"\x7fELF\x02") && head[18] == machine
}

#[cfg(all(test, unix))]
pub(in crate::doctor) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::root::fixture::Tree;

    /// The beginning of a 64-bit library for x86-64.
    pub(in crate::doctor) const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";

    /// A file with a link of the interface's name beside it.
    pub(in crate::doctor) fn install(tree: &Tree, folder: &str, file: &str, name: &str) {
        tree.write(&format!("{folder}/{file}"), ELF);
        std::os::unix::fs::symlink(file, tree.root.path(&format!("{folder}/{name}"))).unwrap();
    }

    fn find(tree: &Tree, variable: &str) -> Library {
        Loader::read(&tree.root, Arch::X86_64, variable).find("libcuda.so.1")
    }

    #[test]
    fn the_first_that_fits() {
        let tree = Tree::new(&[]);
        let system = "/usr/lib/x86_64-linux-gnu";
        install(&tree, system, "libcuda.so.580.95.05", "libcuda.so.1");
        // For 32-bit programs, in a folder that comes first.
        tree.write(
            "/lib/x86_64-linux-gnu/libcuda.so.1",
            b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x03\0",
        );
        install(
            &tree,
            "/usr/local/cuda/compat",
            "libcuda.so.550.54.15",
            "libcuda.so.1",
        );
        let plain = find(&tree, "");
        assert_eq!(
            plain.path.as_deref(),
            Some("/usr/lib/x86_64-linux-gnu/libcuda.so.1")
        );
        assert_eq!(plain.place, Some(Place::System));
        assert_eq!(plain.driver_version(), "580.95.05".parse().ok());
        assert_eq!(
            plain.unseen,
            ["/usr/local/cuda/compat/libcuda.so.550.54.15"]
        );

        let led = find(&tree, ":relative:/usr/local/cuda/compat/");
        assert_eq!(led.place, Some(Place::Variable));
        assert_eq!(led.driver_version(), "550.54.15".parse().ok());
        assert_eq!(
            led.later,
            ["/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05"]
        );
        assert!(led.unseen.is_empty() && !led.is_stub());
    }

    #[test]
    fn stubs_and_interfaces_have_no_driver_version() {
        let tree = Tree::new(&[]);
        tree.write("/usr/local/cuda/lib64/stubs/libcuda.so.1", ELF);
        let stub = find(&tree, "/usr/local/cuda/lib64/stubs");
        assert!(stub.is_stub());
        assert_eq!(stub.driver_version(), None);
        assert_eq!(version_of_file("/usr/lib/wsl/lib/libcuda.so.1.1"), None);
        assert_eq!(version_of_file("/usr/lib/libcuda.so.1"), None);
    }

    #[test]
    fn nothing_is_nothing() {
        let library = find(&Tree::new(&[]), "");
        assert_eq!(library.name, "libcuda.so.1");
        assert_eq!((library.path, library.unseen.len()), (None, 0));
    }
}
