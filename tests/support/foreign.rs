//! Libraries of Windows and macOS, written byte by byte, so that they can be looked at anywhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A DLL to be written.
#[derive(Clone, Debug)]
pub struct Dll {
    /// `IMAGE_FILE_HEADER.Machine`.
    pub machine: u16,
    /// What it asks for: library, and functions of it.
    pub imports: Vec<(String, Vec<String>)>,
    /// What it offers.
    pub exports: Vec<String>,
}

impl Dll {
    /// An empty one for 64-bit x86.
    pub fn new() -> Self {
        Self {
            machine: 0x8664,
            imports: Vec::new(),
            exports: Vec::new(),
        }
    }

    /// For another processor.
    pub fn machine(mut self, machine: u16) -> Self {
        self.machine = machine;
        self
    }

    /// It asks a library for functions.
    pub fn imports(mut self, library: &str, functions: &[&str]) -> Self {
        let functions = functions.iter().map(|&name| name.to_owned()).collect();
        self.imports.push((library.to_owned(), functions));
        self
    }

    /// It offers a function.
    pub fn exports(mut self, function: &str) -> Self {
        self.exports.push(function.to_owned());
        self
    }

    /// Writes it.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, self.bytes(name)).unwrap();
        path
    }

    /// Its bytes: headers, and one section with both tables.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let mut section = Section::at(0x1000);
        let exports = self.export_table(name, &mut section);
        let imports = self.import_table(&mut section);
        let mut file = vec![0; 0x40];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file.extend(b"PE\0\0");
        words(&mut file, &[self.machine, 1]);
        longs(&mut file, &[0, 0, 0]);
        words(&mut file, &[240, 0x2022]);
        // The optional header of a 64-bit image.
        words(&mut file, &[0x20b, 0]);
        longs(&mut file, &[0, 0, 0, 0x1000, 0x1000]);
        longs(&mut file, &[0x8000_0000, 1, 0x1000, 0x200]);
        words(&mut file, &[6, 0, 0, 0, 6, 0]);
        longs(&mut file, &[0, 0x3000, 0x200, 0]);
        words(&mut file, &[2, 0]);
        longs(&mut file, &[0; 9]);
        longs(&mut file, &[16]);
        longs(&mut file, &[exports.0, exports.1, imports.0, imports.1]);
        longs(&mut file, &[0; 28]);
        file.extend(b".rdata\0\0");
        let size = u32::try_from(section.bytes.len()).unwrap();
        longs(
            &mut file,
            &[size, 0x1000, size, 0x200, 0, 0, 0, 0x4000_0040],
        );
        file.resize(0x200, 0);
        file.extend(section.bytes);
        file
    }

    fn export_table(&self, name: &str, section: &mut Section) -> (u32, u32) {
        if self.exports.is_empty() {
            return (0, 0);
        }
        let mut sorted = self.exports.clone();
        sorted.sort();
        // All of it lies within the range of the table, which begins with the directory.
        let start = section.put(&[0; 10]);
        let names: Vec<u32> = sorted.iter().map(|name| section.text(name)).collect();
        let own = section.text(name);
        let count = u32::try_from(names.len()).unwrap();
        let addresses = section.put(&vec![0x3000_u32; names.len()]);
        let pointers = section.put(&names);
        let ordinals = section.here();
        for index in 0..names.len() {
            let index = u16::try_from(index).unwrap();
            section.bytes.extend(index.to_le_bytes());
        }
        section.align();
        let mut directory = Vec::new();
        let words = [0, 0, 0, own, 1, count, count, addresses, pointers, ordinals];
        longs(&mut directory, &words);
        let at = usize::try_from(start - section.base).unwrap();
        section.bytes[at..at + 40].copy_from_slice(&directory);
        (start, section.here() - start)
    }

    fn import_table(&self, section: &mut Section) -> (u32, u32) {
        let mut descriptors = Vec::new();
        for (library, functions) in &self.imports {
            let hints: Vec<u32> = functions
                .iter()
                .map(|function| section.text(&format!("\0\0{function}")))
                .collect();
            // Thunks have eight bytes each; a zero ends the list.
            let thunks: Vec<u32> = hints
                .iter()
                .chain([&0])
                .flat_map(|&hint| [hint, 0])
                .collect();
            let lookup = section.put(&thunks);
            let addresses = section.put(&thunks);
            descriptors.extend([lookup, 0, 0, section.text(library), addresses]);
        }
        descriptors.extend([0; 5]);
        let at = section.put(&descriptors);
        (at, u32::try_from(descriptors.len() * 4).unwrap())
    }
}

struct Section {
    base: u32,
    bytes: Vec<u8>,
}

impl Section {
    fn at(base: u32) -> Self {
        Self {
            base,
            bytes: Vec::new(),
        }
    }

    fn here(&self) -> u32 {
        self.base + u32::try_from(self.bytes.len()).unwrap()
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    fn text(&mut self, text: &str) -> u32 {
        let at = self.here();
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
        self.align();
        at
    }

    fn put(&mut self, numbers: &[u32]) -> u32 {
        let at = self.here();
        longs(&mut self.bytes, numbers);
        self.align();
        at
    }
}

fn words(bytes: &mut Vec<u8>, numbers: &[u16]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

fn longs(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// A dynamic library of macOS to be written.
#[derive(Clone, Debug, Default)]
pub struct Dylib {
    install_name: String,
    libraries: Vec<(String, bool)>,
    rpaths: Vec<String>,
    /// Symbol and the number of the library it comes from.
    undefined: Vec<(String, u8)>,
    defined: Vec<String>,
    minimum: (u8, u8),
    intel: bool,
}

impl Dylib {
    /// One for Apple's processors that needs macOS 11.
    pub fn new(install_name: &str) -> Self {
        Self {
            install_name: install_name.to_owned(),
            minimum: (11, 0),
            ..Self::default()
        }
    }

    /// For 64-bit x86 instead.
    pub fn intel(mut self) -> Self {
        self.intel = true;
        self
    }

    /// The lowest macOS it is for.
    pub fn minimum(mut self, major: u8, minor: u8) -> Self {
        self.minimum = (major, minor);
        self
    }

    /// A library it asks for, and symbols it wants of it.
    pub fn needs(mut self, name: &str, symbols: &[&str]) -> Self {
        self.libraries.push((name.to_owned(), false));
        let number = u8::try_from(self.libraries.len()).unwrap();
        let symbols = symbols.iter().map(|name| (format!("_{name}"), number));
        self.undefined.extend(symbols);
        self
    }

    /// A library it does without when it is not there.
    pub fn likes(mut self, name: &str) -> Self {
        self.libraries.push((name.to_owned(), true));
        self
    }

    /// Where `@rpath` leads.
    pub fn rpath(mut self, folder: &str) -> Self {
        self.rpaths.push(folder.to_owned());
        self
    }

    /// A symbol it offers.
    pub fn exports(mut self, symbol: &str) -> Self {
        self.defined.push(format!("_{symbol}"));
        self
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.bytes()).unwrap();
        path.to_owned()
    }

    /// Its bytes: header, load commands, one empty segment, symbols.
    pub fn bytes(&self) -> Vec<u8> {
        let mut commands: Vec<Vec<u8>> = Vec::new();
        // One section, for symbols to be in.
        let mut segment = b"__TEXT".to_vec();
        segment.resize(56, 0);
        segment[48..56].copy_from_slice(&[5, 0, 0, 0, 5, 0, 0, 0]);
        longs(&mut segment, &[1, 0]);
        segment.extend(b"__text\0\0\0\0\0\0\0\0\0\0__TEXT");
        segment.resize(64 + 80, 0);
        commands.push(command(0x19, &segment));
        let dylib = |kind: u32, name: &str| {
            let mut body = Vec::new();
            longs(&mut body, &[24, 0, 0x1_0000, 0x1_0000]);
            body.extend(name.bytes().chain([0]));
            command(kind, &body)
        };
        commands.push(dylib(0xd, &self.install_name));
        for (name, optional) in &self.libraries {
            commands.push(dylib(if *optional { 0x8000_0018 } else { 0xc }, name));
        }
        for folder in &self.rpaths {
            let mut body = Vec::new();
            longs(&mut body, &[12]);
            body.extend(folder.bytes().chain([0]));
            commands.push(command(0x8000_001c, &body));
        }
        let minimum = (u32::from(self.minimum.0) << 16) | (u32::from(self.minimum.1) << 8);
        let mut body = Vec::new();
        longs(&mut body, &[1, minimum, minimum, 0]);
        commands.push(command(0x32, &body));
        let size: usize = commands.iter().map(Vec::len).sum::<usize>() + 24;
        let symbols = self.symbol_table(u32::try_from(32 + size).unwrap());
        commands.push(command(2, &symbols.0));
        let mut file = Vec::new();
        let (processor, kind) = if self.intel {
            (0x0100_0007, 3)
        } else {
            (0x0100_000c, 0)
        };
        let count = u32::try_from(commands.len()).unwrap();
        let size = u32::try_from(size).unwrap();
        longs(
            &mut file,
            &[0xfeed_facf, processor, kind, 6, count, size, 0x80, 0],
        );
        file.extend(commands.concat());
        file.extend(symbols.1);
        file
    }

    /// The body of the command, and what it points to.
    fn symbol_table(&self, at: u32) -> (Vec<u8>, Vec<u8>) {
        let mut entries = Vec::new();
        let mut strings = vec![0];
        let defined = self.defined.iter().map(|name| (name, 0xf_u8, 1_u8, 0_u8));
        let undefined = self
            .undefined
            .iter()
            .map(|(name, from)| (name, 1, 0, *from));
        for (name, kind, section, library) in defined.chain(undefined) {
            longs(&mut entries, &[u32::try_from(strings.len()).unwrap()]);
            entries.extend([kind, section, 0, library]);
            // An undefined one with a value would be a common one.
            longs(&mut entries, &[u32::from(section) * 0x100, 0]);
            strings.extend(name.bytes().chain([0]));
        }
        let count = u32::try_from(entries.len() / 16).unwrap();
        let size = u32::try_from(entries.len()).unwrap();
        let mut body = Vec::new();
        let length = u32::try_from(strings.len()).unwrap();
        longs(&mut body, &[at, count, at + size, length]);
        entries.extend(strings);
        (body, entries)
    }
}

fn command(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = (8 + body.len()).next_multiple_of(8);
    let mut bytes = Vec::new();
    longs(&mut bytes, &[kind, u32::try_from(size).unwrap()]);
    bytes.extend(body);
    bytes.resize(size, 0);
    bytes
}

/// A universal file of several.
pub fn universal(parts: &[Dylib]) -> Vec<u8> {
    let mut header = Vec::new();
    let mut body = Vec::new();
    let count = u32::try_from(parts.len()).unwrap();
    header.extend(
        [0xcafe_babe_u32, count]
            .iter()
            .flat_map(|n| n.to_be_bytes()),
    );
    for part in parts {
        let bytes = part.bytes();
        let (processor, kind) = if part.intel {
            (0x0100_0007, 3)
        } else {
            (0x0100_000c, 0)
        };
        let offset = u32::try_from(0x1000 + body.len()).unwrap();
        let size = u32::try_from(bytes.len()).unwrap();
        let row: [u32; 5] = [processor, kind, offset, size, 12];
        header.extend(row.iter().flat_map(|number| number.to_be_bytes()));
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(0x1000), 0);
    }
    header.resize(0x1000, 0);
    header.extend(body);
    header
}
