//! One library or program: the part of it that a loader reads.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use memchr::memmem;
use memmap2::Mmap;
use object::{
    Architecture, BinaryFormat, FileKind, Object as _, ObjectSection as _,
    elf::{self, FileHeader32, FileHeader64},
    macho,
    read::{
        ImportLibraryFlags,
        elf::{ElfFile, FileHeader},
        macho::{MachOFatFile32, MachOFatFile64},
    },
};

/// Which loader a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Linux.
    Elf,
    /// Windows.
    Pe,
    /// macOS.
    MachO,
}

/// The processor a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
    /// Any other.
    Other,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "64-bit x86",
            Self::X86 => "32-bit x86",
            Self::Aarch64 => "64-bit ARM",
            Self::Arm => "32-bit ARM",
            Self::Other => "another processor",
        })
    }
}

impl From<Architecture> for Machine {
    fn from(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 => Self::X86_64,
            Architecture::I386 => Self::X86,
            Architecture::Aarch64 => Self::Aarch64,
            Architecture::Arm => Self::Arm,
            _ => Self::Other,
        }
    }
}

/// A library that a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// As it is asked for: `libc.so.6`, `KERNEL32.dll`, `@rpath/libc10.dylib`.
    pub name: String,
    /// The file loads without it: weak (Mach-O), or looked for when first used (PE).
    pub optional: bool,
}

/// A symbol version that a file wants of a library: `GLIBC_2.34` of `libc.so.6`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNeed {
    /// The library's soname.
    pub library: String,
    /// The version.
    pub version: String,
    /// A warning is all that comes of its absence.
    pub weak: bool,
}

/// What a loader reads of a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where it was read.
    pub path: PathBuf,
    /// Which loader it is for.
    pub format: Format,
    /// The processors it has code for; several in a universal Mach-O file. The first one is what
    /// the rest describes.
    pub machines: Vec<Machine>,
    /// The name others know it by: `SONAME`, or a Mach-O install name.
    pub soname: Option<String>,
    /// What it asks for, in order.
    pub needed: Vec<Needed>,
    /// `DT_RPATH`, looked through before `LD_LIBRARY_PATH`; empty where `DT_RUNPATH` is set, which
    /// replaces it. Unexpanded.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`, looked through after `LD_LIBRARY_PATH`, and the `LC_RPATH`s of Mach-O.
    pub runpath: Vec<String>,
    /// Libraries of the system's folders are not for it (`DF_1_NODEFLIB`).
    pub no_default_folders: bool,
    /// Symbol versions it wants.
    pub wants: Vec<VersionNeed>,
    /// Symbol versions it offers.
    pub offers: BTreeSet<String>,
    /// The loader that an ELF program names.
    pub interpreter: Option<String>,
    /// The lowest macOS it is made for.
    pub minimum_macos: Option<(u16, u16)>,
}

/// A file that is no library.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be opened.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its bytes are no ELF, PE or Mach-O file, or end too early.
    #[error("`{}` is not a whole library: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Image {
    /// Reads a file. Of a universal one the part for `preferred` is read, or its first.
    ///
    /// # Errors
    /// It cannot be opened, or is not (or no longer) a library.
    pub fn read(path: &Path, preferred: Machine) -> Result<Self, ImageError> {
        with_bytes(path, preferred, |bytes, machines| {
            let mut image = Self::parse(path, bytes)?;
            if let Some(machines) = machines {
                image.machines = machines;
            }
            Ok(image)
        })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, object::Error> {
        let file = object::File::parse(bytes)?;
        let format = match file.format() {
            BinaryFormat::Elf => Format::Elf,
            BinaryFormat::Pe => Format::Pe,
            BinaryFormat::MachO => Format::MachO,
            _ => return Err(not_a_library()),
        };
        let mut needed = Vec::new();
        for library in file.import_libraries()? {
            let library = library?;
            needed.push(Needed {
                name: text(library.name()),
                optional: match library.flags() {
                    ImportLibraryFlags::MachO { cmd, .. } => cmd == macho::LC_LOAD_WEAK_DYLIB,
                    ImportLibraryFlags::Pe { delay } => delay,
                    _ => false,
                },
            });
        }
        let mut image = Self {
            path: path.to_owned(),
            format,
            machines: vec![file.architecture().into()],
            soname: None,
            needed,
            rpath: Vec::new(),
            runpath: Vec::new(),
            no_default_folders: false,
            wants: Vec::new(),
            offers: BTreeSet::new(),
            interpreter: None,
            minimum_macos: None,
        };
        match file {
            object::File::Elf64(elf) => image.add_elf::<FileHeader64<_>>(&elf)?,
            object::File::Elf32(elf) => image.add_elf::<FileHeader32<_>>(&elf)?,
            object::File::MachO64(macho) => image.add_macho(&macho)?,
            object::File::MachO32(macho) => image.add_macho(&macho)?,
            _ => {}
        }
        Ok(image)
    }

    fn add_elf<'data, Elf: FileHeader<Endian = object::Endianness>>(
        &mut self,
        file: &ElfFile<'data, Elf>,
    ) -> Result<(), object::Error> {
        let (endian, data) = (file.endian(), file.data());
        let sections = file.elf_section_table();
        let dynamic = file.elf_dynamic_table()?;
        let mut rpath = Vec::new();
        for entry in dynamic.iter() {
            let value = || dynamic.string(entry).map(text);
            match entry.tag {
                elf::DT_SONAME => self.soname = Some(value()?),
                elf::DT_RPATH => rpath = list(&value()?),
                elf::DT_RUNPATH => self.runpath = list(&value()?),
                elf::DT_FLAGS_1 => {
                    self.no_default_folders = entry.val & elf::DF_1_NODEFLIB.0 != 0;
                }
                _ => {}
            }
        }
        // ld.so(8): "DT_RPATH … if … DT_RUNPATH attribute does not exist".
        if self.runpath.is_empty() {
            self.rpath = rpath;
        }
        if let Some((mut needs, link)) = sections.gnu_verneed(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            while let Some((need, mut versions)) = needs.next()? {
                let library = text(need.file(endian, strings)?);
                while let Some(version) = versions.next()? {
                    let flags = version.vna_flags.get(endian);
                    self.wants.push(VersionNeed {
                        library: library.clone(),
                        version: text(version.name(endian, strings)?),
                        weak: flags.contains(elf::VER_FLG_WEAK),
                    });
                }
            }
        }
        if let Some((mut definitions, link)) = sections.gnu_verdef(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            while let Some((_, mut names)) = definitions.next()? {
                if let Some(name) = names.next()? {
                    self.offers.insert(text(name.name(endian, strings)?));
                }
            }
        }
        if let Some(section) = file.section_by_name(".interp") {
            let name = section.data()?.split(|byte| *byte == 0).next();
            self.interpreter = name.filter(|name| !name.is_empty()).map(text);
        }
        Ok(())
    }

    fn add_macho<'data, Mach: object::read::macho::MachHeader<Endian = object::Endianness>>(
        &mut self,
        file: &object::read::macho::MachOFile<'data, Mach>,
    ) -> Result<(), object::Error> {
        let endian = file.endian();
        let mut commands = file.macho_load_commands()?;
        while let Some(command) = commands.next()? {
            match command.cmd() {
                macho::LC_RPATH => {
                    let rpath: &macho::RpathCommand<_> = command.data()?;
                    self.runpath.push(text(command.string(endian, rpath.path)?));
                }
                macho::LC_ID_DYLIB => {
                    let own: &macho::DylibCommand<_> = command.data()?;
                    self.soname = Some(text(command.string(endian, own.dylib.name)?));
                }
                macho::LC_BUILD_VERSION => {
                    let version: &macho::BuildVersionCommand<_> = command.data()?;
                    self.minimum_macos = Some(packed(version.minos.get(endian).0));
                }
                macho::LC_VERSION_MIN_MACOSX => {
                    let version: &macho::VersionMinCommand<_> = command.data()?;
                    self.minimum_macos = Some(packed(version.version.get(endian).0));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The name others know it by, or that of its file.
    pub fn name(&self) -> String {
        self.soname.clone().unwrap_or_else(|| {
            let name = self.path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        })
    }

    /// Whether it has code for a processor.
    pub fn runs_on(&self, machine: Machine) -> bool {
        self.machines.contains(&machine)
    }
}

/// `X.Y.Z` in the nibbles `xxxx.yy.zz`.
fn packed(version: u32) -> (u16, u16) {
    let major = u16::try_from(version >> 16).unwrap_or(u16::MAX);
    let minor = u16::try_from((version >> 8) & 0xff).unwrap_or_default();
    (major, minor)
}

fn list(path: &str) -> Vec<String> {
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders.map(str::to_owned).collect()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn not_a_library() -> object::Error {
    // The crate's error cannot be made by others; this is what it says of such a file.
    object::File::parse(&b"\0\0\0\0"[..])
        .err()
        .unwrap_or_else(|| unreachable!("four zeros are no library"))
}

/// Whether a file begins like a library of any kind. Reads four bytes.
pub(super) fn looks_like_image(path: &Path) -> bool {
    use io::Read as _;
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| {
            magic.starts_with(b"MZ")
                || matches!(
                    magic,
                    [0x7f, b'E', b'L', b'F']
                        | [0xcf | 0xce, 0xfa, 0xed, 0xfe]
                        | [0xca, 0xfe, 0xba, 0xbe | 0xbf]
                )
        })
}

/// Which of some texts a file holds anywhere, such as names that a library opens others by.
///
/// # Errors
/// It cannot be read.
pub fn holds(path: &Path, texts: &[&[u8]]) -> io::Result<Vec<bool>> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(vec![false; texts.len()]);
    }
    // SAFETY: read-only, private to this call, and only compared; see `with_bytes` for what
    // happens when another process cuts the file short.
    let map = unsafe { Mmap::map(&file) }?;
    let found = texts.iter().map(|text| memmem::find(&map, text).is_some());
    Ok(found.collect())
}

/// Maps a file and gives its bytes to `read`: of a universal file those for one processor, with
/// all processors it has parts for.
pub(super) fn with_bytes<T>(
    path: &Path,
    preferred: Machine,
    read: impl FnOnce(&[u8], Option<Vec<Machine>>) -> Result<T, object::Error>,
) -> Result<T, ImageError> {
    let failed = |source| ImageError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let malformed = |reason: String| ImageError::Malformed {
        path: path.to_owned(),
        reason,
    };
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(malformed("it is empty".to_owned()));
    }
    // SAFETY: the map is read-only, private to this call, and read through a parser that checks
    // every offset. A file that another process cuts short meanwhile may end this one; libraries
    // of an environment are not written while it is looked at.
    let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
    let whole = |error: object::Error| malformed(error.to_string());
    let (machines, part) = match FileKind::parse(&map[..]).map_err(whole)? {
        FileKind::MachOFat32 => {
            let fat = MachOFatFile32::parse(&map[..]).map_err(whole)?;
            part_of(fat.arches(), &map, preferred).map_err(whole)?
        }
        FileKind::MachOFat64 => {
            let fat = MachOFatFile64::parse(&map[..]).map_err(whole)?;
            part_of(fat.arches(), &map, preferred).map_err(whole)?
        }
        _ => (None, &map[..]),
    };
    read(part, machines).map_err(whole)
}

fn part_of<'data, Fat: object::read::macho::FatArch>(
    arches: &'data [Fat],
    data: &'data [u8],
    preferred: Machine,
) -> Result<(Option<Vec<Machine>>, &'data [u8]), object::Error> {
    let machine = |arch: &Fat| Machine::from(arch.architecture());
    let mut machines: Vec<Machine> = arches.iter().map(machine).collect();
    let chosen = arches
        .iter()
        .find(|arch| machine(arch) == preferred)
        .or_else(|| arches.first())
        .ok_or_else(not_a_library)?;
    let of_chosen = machine(chosen);
    machines.sort_by_key(|machine| *machine != of_chosen);
    Ok((Some(machines), chosen.data(data)?))
}
