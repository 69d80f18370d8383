//! Real shared libraries and Python modules, made by the C compiler of the machine (Linux).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A shared library to be made.
#[derive(Clone, Debug, Default)]
pub struct Library {
    file: String,
    soname: Option<String>,
    source: String,
    versions: Vec<(String, Vec<String>)>,
    needed: Vec<PathBuf>,
    arguments: Vec<String>,
}

impl Library {
    /// A library of this file name, which is its soname too.
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            soname: Some(file.to_owned()),
            ..Self::default()
        }
    }

    /// A Python module without anything in it. Needs no headers of Python: what it declares is the
    /// part of `PyModuleDef` that has been the same since Python 3.0.
    pub fn module(file: &str) -> Self {
        let name = file.split('.').next().unwrap();
        let source = format!(
            "struct def {{ long refs; void *type, *init; long index; void *copy; \
             const char *name, *doc; long size; void *rest[5]; }};\n\
             static struct def it = {{ 1, 0, 0, 0, 0, \"{name}\", 0, -1, {{0}} }};\n\
             extern void *PyModule_Create2(struct def *, int);\n\
             void *PyInit_{name}(void) {{ return PyModule_Create2(&it, 1013); }}\n"
        );
        Self {
            file: file.to_owned(),
            source,
            ..Self::default()
        }
    }

    /// Another soname, or none.
    pub fn soname(mut self, soname: Option<&str>) -> Self {
        self.soname = soname.map(str::to_owned);
        self
    }

    /// A function it offers, which returns a number.
    pub fn function(mut self, name: &str) -> Self {
        let _ = writeln!(self.source, "int {name}(void) {{ return {}; }}", name.len());
        self
    }

    /// A function it offers under a symbol version.
    pub fn versioned(mut self, name: &str, version: &str) -> Self {
        self = self.function(name);
        match self.versions.iter_mut().find(|(known, _)| known == version) {
            Some((_, names)) => names.push(name.to_owned()),
            None => self
                .versions
                .push((version.to_owned(), vec![name.to_owned()])),
        }
        self
    }

    /// A function it calls, which another library has to bring.
    pub fn calls(mut self, name: &str) -> Self {
        let _ = writeln!(
            self.source,
            "extern int {name}(void); int (*use_{name}(void))(void) {{ return {name}; }}"
        );
        self
    }

    /// A text it holds.
    pub fn text(mut self, name: &str, text: &str) -> Self {
        let _ = writeln!(self.source, "const char *{name} = \"{text}\";");
        self
    }

    /// A library it is linked with.
    pub fn needs(mut self, library: &Path) -> Self {
        self.needed.push(library.to_owned());
        self
    }

    /// Where its own needs are looked for, after `LD_LIBRARY_PATH`.
    pub fn runpath(self, folders: &str) -> Self {
        self.argument(&format!("-Wl,--enable-new-dtags,-rpath,{folders}"))
    }

    /// Where its own needs are looked for, before `LD_LIBRARY_PATH`.
    pub fn rpath(self, folders: &str) -> Self {
        self.argument(&format!("-Wl,--disable-new-dtags,-rpath,{folders}"))
    }

    fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Makes it in a folder.
    pub fn build(&self, folder: &Path) -> PathBuf {
        let work = tempfile::tempdir().unwrap();
        let source = work.path().join("it.c");
        fs::write(&source, &self.source).unwrap();
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(&self.file);
        let mut command = Command::new("cc");
        command
            .args(["-shared", "-fPIC", "-O1", "-Wl,--no-as-needed", "-o"])
            .arg(&path)
            .arg(&source);
        if let Some(soname) = &self.soname {
            command.arg(format!("-Wl,-soname,{soname}"));
        }
        if !self.versions.is_empty() {
            let mut script = String::new();
            for (version, names) in &self.versions {
                let _ = writeln!(script, "{version} {{ global: {}; }};", names.join("; "));
            }
            let file = work.path().join("versions");
            fs::write(&file, script).unwrap();
            command.arg(format!("-Wl,--version-script={}", file.display()));
        }
        command.args(&self.needed).args(&self.arguments);
        let output = command
            .output()
            .expect("these tests need a C compiler, `cc`");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        path
    }

    /// Makes it in memory.
    pub fn bytes(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        fs::read(self.build(folder.path())).unwrap()
    }
}
