//! What a library asks of others by name, and what it offers.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    path::Path,
};

use object::{
    NameOrOrdinal, Object as _, macho,
    read::{ExportFlags, ImportFlags, ImportLibraryFlags},
};

use super::image::{ImageError, Machine, text, with_bytes};

/// A symbol that another library has to bring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undefined {
    /// As it is written in the file.
    pub name: String,
    /// Its version (ELF).
    pub version: Option<String>,
    /// The library it has to come from, where the file says so (PE, Mach-O, versioned ELF).
    pub library: Option<String>,
}

/// What a file offers, as digests of names: a library of torch offers a hundred thousand.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    /// Every name.
    names: HashSet<u64>,
    /// Names with their version; without one, the name and nothing.
    exact: HashSet<u64>,
    /// Symbols may come from elsewhere through this one, so absence proves nothing.
    forwards: bool,
}

impl Exports {
    fn add(&mut self, name: &[u8], version: Option<&[u8]>) {
        self.names.insert(digest(name, b""));
        self.exact.insert(digest(name, version.unwrap_or(b"")));
    }

    /// Whether a symbol is offered, by the rules of `ld.so`: a version that is asked for must be
    /// the same, or the symbol must have none.
    pub fn has(&self, name: &str, version: Option<&str>) -> bool {
        match version {
            None => self.names.contains(&digest(name.as_bytes(), b"")),
            Some(version) => {
                let exact = |version: &[u8]| digest(name.as_bytes(), version);
                self.exact.contains(&exact(version.as_bytes())) || self.exact.contains(&exact(b""))
            }
        }
    }

    /// How many names another one has that this one lacks.
    pub fn lacks(&self, other: &Self) -> usize {
        other.names.difference(&self.names).count()
    }

    /// Whether absence of a name means that it is not there.
    pub fn is_complete(&self) -> bool {
        !self.forwards
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing is offered.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn digest(name: &[u8], version: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((name, version))
}

/// The symbols of a file.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// What it cannot do without.
    pub undefined: Vec<Undefined>,
    /// What it offers.
    pub exports: Exports,
    /// The modules it is, by the functions that Python calls at an import (`PyInit_<name>`).
    pub modules: Vec<String>,
}

impl Symbols {
    /// Reads them.
    ///
    /// # Errors
    /// It cannot be opened, or is not (or no longer) a library.
    pub fn read(path: &Path, preferred: Machine) -> Result<Self, ImageError> {
        with_bytes(path, preferred, |bytes, _| Self::parse(bytes))
    }

    fn parse(bytes: &[u8]) -> Result<Self, object::Error> {
        let file = object::File::parse(bytes)?;
        let mut symbols = Self::default();
        // A name of no meaning in a hand-made file is not worth losing the others for.
        for import in file.imports()?.flatten() {
            let NameOrOrdinal::Name(name) = import.name() else {
                continue;
            };
            if import.is_weak() || matches!(import.flags(), ImportFlags::Pe { delay: true }) {
                continue;
            }
            let version = match import.flags() {
                ImportFlags::Elf { version, .. } => version.map(text),
                _ => None,
            };
            symbols.undefined.push(Undefined {
                name: text(name),
                version,
                library: (!import.library().is_empty()).then(|| text(import.library())),
            });
        }
        // An umbrella library offers what another one has.
        symbols.exports.forwards = file.import_libraries()?.flatten().any(|library| {
            matches!(
                library.flags(),
                ImportLibraryFlags::MachO { cmd, .. } if cmd == macho::LC_REEXPORT_DYLIB
            )
        });
        for export in file.exports()?.flatten() {
            let version = match export.flags() {
                ExportFlags::Elf { version, .. } => version,
                _ => None,
            };
            if let NameOrOrdinal::Name(name) = export.name() {
                symbols.exports.add(name, version);
                let plain = name.strip_prefix(b"_").filter(|n| n.starts_with(b"PyInit"));
                if let Some(module) = plain.unwrap_or(name).strip_prefix(b"PyInit_") {
                    symbols.modules.push(text(module));
                }
            }
        }
        Ok(symbols)
    }
}

/// A symbol as its author wrote it: `_ZN3c105ErrorD1Ev` is `c10::Error::~Error()`, and Microsoft's
/// `?what@Error@c10@@UEBAPEBDXZ` is `c10::Error::what`. Other names stay as they are.
pub fn demangled(symbol: &str) -> String {
    // Mach-O puts one more underscore before every name.
    let mangled = match symbol.strip_prefix('_') {
        Some(rest) if rest.starts_with("_Z") => rest,
        _ => symbol,
    };
    if symbol.starts_with('?') {
        let flags = msvc_demangler::DemangleFlags::NAME_ONLY;
        return msvc_demangler::demangle(symbol, flags).unwrap_or_else(|_| symbol.to_owned());
    }
    if !mangled.starts_with("_Z") {
        return symbol.to_owned();
    }
    cpp_demangle::Symbol::new(mangled)
        .ok()
        .and_then(|symbol| symbol.demangle().ok())
        .unwrap_or_else(|| symbol.to_owned())
}
