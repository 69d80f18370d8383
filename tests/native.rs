//! The model of the loader against the loader itself: libraries made by the C compiler are looked
//! at, and then opened by a real Python.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aienv::native::{Image, Load, Machine, Place, Process, Shelf, demangled, glibc::Glibc};
use proptest::prelude::*;
use support::{Library, world::test_python};

const HERE: Machine = if cfg!(target_arch = "aarch64") {
    Machine::Aarch64
} else {
    Machine::X86_64
};

/// What the model says of opening a library from Python.
fn modelled(library: &Path, library_path: &str) -> Load {
    let shelf = Shelf::new(HERE);
    let finder = Glibc::of_machine(OsStr::new(library_path), HERE, false);
    let mut process = Process::start(&finder, &shelf, Some(&test_python().path));
    process.load(library)
}

/// What the real loader says; `None` when it is content.
fn real(library: &Path, library_path: &str) -> Option<String> {
    let output = Command::new(&test_python().path)
        .args(["-I", "-c"])
        .arg("import ctypes, os, sys; ctypes.CDLL(sys.argv[1], os.RTLD_NOW)")
        .arg(library)
        .env("LD_LIBRARY_PATH", library_path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

/// Both must agree; gives what they said.
#[track_caller]
fn both(library: &Path, library_path: &str) -> (Load, Option<String>) {
    let load = modelled(library, library_path);
    let said = real(library, library_path);
    assert_eq!(load.works(), said.is_none(), "{load:#?}\n{said:?}");
    (load, said)
}

struct Rooms {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Rooms {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            root: folder.path().canonicalize().unwrap(),
            _folder: folder,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn an_image_tells_what_a_loader_reads() {
    let rooms = Rooms::new();
    let base = Library::new("libbase.so.1")
        .versioned("base", "BASE_1")
        .versioned("more", "BASE_2")
        .build(&rooms.at("a"));
    let user = Library::new("libuser.so")
        .calls("more")
        .needs(&base)
        .runpath("$ORIGIN/../a:/nowhere")
        .build(&rooms.at("b"));
    let image = Image::read(&user, HERE).unwrap();
    assert_eq!(image.soname.as_deref(), Some("libuser.so"));
    assert_eq!(image.needed[0].name, "libbase.so.1");
    assert_eq!(image.runpath, ["$ORIGIN/../a", "/nowhere"]);
    assert_eq!(image.rpath, Vec::<String>::new());
    let want = image.wants.iter().find(|w| w.library == "libbase.so.1");
    assert_eq!(want.unwrap().version, "BASE_2");
    let image = Image::read(&base, HERE).unwrap();
    assert!(image.offers.contains("BASE_1") && image.offers.contains("BASE_2"));
    assert!(image.runs_on(HERE));
}

#[test]
fn own_search_paths_lead_to_a_library_and_without_them_it_is_missing() {
    let rooms = Rooms::new();
    let base = Library::new("libaienvbase.so.1").function("base");
    let path = base.build(&rooms.at("a"));
    let user = Library::new("libuser.so").calls("base").needs(&path);
    let found = user.clone().runpath("$ORIGIN/../a").build(&rooms.at("b"));
    assert!(both(&found, "").0.works());
    let lost = user.build(&rooms.at("c"));
    let (load, said) = both(&lost, "");
    assert_eq!(load.missing[0].name, "libaienvbase.so.1");
    assert_eq!(load.missing[0].asked_by, lost);
    assert!(said.unwrap().contains("libaienvbase.so.1"));
    assert!(both(&lost, &rooms.text("a")).0.works());
}

/// The whole table of who wins: `DT_RPATH`, then the variable, then `DT_RUNPATH`. The library in
/// the wrong folder lacks the symbol, so the real loader tells which one it took.
#[test]
fn the_variable_comes_after_rpath_and_before_runpath() {
    let rooms = Rooms::new();
    let good = Library::new("libaienvorder.so.1").function("wanted");
    let path = good.build(&rooms.at("good"));
    Library::new("libaienvorder.so.1")
        .function("other")
        .build(&rooms.at("bad"));
    let user = Library::new("libuser.so").calls("wanted").needs(&path);
    for (own, name, works) in [
        (user.clone().rpath("$ORIGIN/../good"), "rpath", true),
        (user.clone().runpath("$ORIGIN/../good"), "runpath", false),
    ] {
        let library = own.build(&rooms.at(name));
        let (load, said) = both(&library, &rooms.text("bad"));
        assert_eq!(load.works(), works, "{name}");
        if !works {
            assert_eq!(load.unresolved[0].symbols[0].name, "wanted");
            assert_eq!(load.unresolved[0].count, 1);
            assert!(said.unwrap().contains("undefined symbol: wanted"));
        }
        assert!(both(&library, "").0.works(), "{name} without the variable");
    }
}

#[test]
fn a_search_path_serves_what_is_loaded_further_down() {
    let rooms = Rooms::new();
    let third = Library::new("libaienvthird.so").function("third");
    let third = third.build(&rooms.at("deep"));
    let second = Library::new("libaienvsecond.so")
        .calls("third")
        .needs(&third)
        .build(&rooms.at("mid"));
    let both_paths = "$ORIGIN/../mid:$ORIGIN/../deep";
    let first = Library::new("libfirst.so")
        .calls("use_third")
        .needs(&second);
    // DT_RPATH of the one that loads is asked for what it loads needs in turn; DT_RUNPATH is not.
    let inherits = first.clone().rpath(both_paths).build(&rooms.at("x"));
    assert!(both(&inherits, "").0.works());
    let does_not = first.runpath(both_paths).build(&rooms.at("y"));
    let (load, _) = both(&does_not, "");
    assert_eq!(load.missing[0].name, "libaienvthird.so");
    assert_eq!(load.missing[0].asked_by.canonicalize().unwrap(), second);
}

#[test]
fn a_library_that_is_too_old_for_a_version_is_told() {
    let rooms = Rooms::new();
    let new = Library::new("libaienvver.so.6")
        .versioned("old", "VER_3.4.1")
        .versioned("new", "VER_3.4.32")
        .build(&rooms.at("new"));
    Library::new("libaienvver.so.6")
        .versioned("old", "VER_3.4.1")
        .build(&rooms.at("old"));
    let user = Library::new("libuser.so").calls("new").needs(&new);
    let user = user.runpath("$ORIGIN/../new").build(&rooms.at("user"));
    assert!(both(&user, "").0.works());
    let (load, said) = both(&user, &rooms.text("old"));
    let wrong = &load.versions[0];
    assert_eq!(wrong.version, "VER_3.4.32");
    assert_eq!(wrong.name, "libaienvver.so.6");
    assert_eq!(wrong.library, rooms.at("old").join("libaienvver.so.6"));
    assert_eq!(wrong.asked_by, user);
    assert!(said.unwrap().contains("VER_3.4.32"));
}

#[test]
fn files_for_another_processor_are_passed_over_and_torn_ones_end_the_search() {
    let rooms = Rooms::new();
    let good = Library::new("libaienvfile.so.1").function("wanted");
    let good = good.build(&rooms.at("good"));
    let user = Library::new("libuser.so").calls("wanted").needs(&good);
    let user = user.runpath("$ORIGIN/../good").build(&rooms.at("user"));

    let mut foreign = fs::read(&good).unwrap();
    // e_machine: 40 is 32-bit ARM.
    foreign[18..20].copy_from_slice(&40_u16.to_le_bytes());
    fs::create_dir_all(rooms.at("foreign")).unwrap();
    fs::write(rooms.at("foreign/libaienvfile.so.1"), foreign).unwrap();
    assert!(both(&user, &rooms.text("foreign")).0.works());
    fs::remove_file(&good).unwrap();
    let (load, _) = both(&user, &rooms.text("foreign"));
    assert_eq!(
        load.missing[0].other_machine,
        [rooms.at("foreign/libaienvfile.so.1")]
    );

    fs::create_dir_all(rooms.at("torn")).unwrap();
    fs::write(rooms.at("torn/libaienvfile.so.1"), b"\x7fELF").unwrap();
    let (load, said) = both(&user, &rooms.text("torn"));
    let torn = Some(rooms.at("torn/libaienvfile.so.1"));
    assert_eq!(load.missing[0].broken, torn);
    assert!(said.unwrap().contains("file too short"));
}

#[test]
fn what_is_loaded_already_is_taken_by_its_soname() {
    let rooms = Rooms::new();
    let base = Library::new("libaienvloaded.so.2").function("base");
    let base = base.build(&rooms.at("a"));
    let user = Library::new("libuser.so").calls("base").needs(&base);
    let user = user.build(&rooms.at("b"));
    let shelf = Shelf::new(HERE);
    let finder = Glibc::of_machine(OsStr::new(""), HERE, false);
    let fresh = Process::start(&finder, &shelf, Some(&test_python().path));
    assert!(!fresh.clone().load(&user).works());
    let mut after = fresh;
    assert!(after.load(&base).works());
    assert!(after.load(&user).works());
    assert_eq!(after.loaded_as("libaienvloaded.so.2").unwrap().path, base);
}

#[test]
fn global_symbols_serve_libraries_that_name_nobody() {
    let rooms = Rooms::new();
    let base = Library::new("libaienvglobal.so").function("aienv_global");
    let base = base.build(&rooms.at("a"));
    let user = Library::new("libuser.so").calls("aienv_global");
    let user = user.build(&rooms.at("b"));
    let (load, _) = both(&user, "");
    assert_eq!(load.unresolved[0].symbols[0].name, "aienv_global");
    let shelf = Shelf::new(HERE);
    let finder = Glibc::of_machine(OsStr::new(""), HERE, false);
    let mut process = Process::start(&finder, &shelf, Some(&test_python().path));
    process.load_global(&base);
    assert!(process.load(&user).works());
}

#[test]
fn a_python_module_finds_python_itself() {
    let rooms = Rooms::new();
    let module = Library::module("probe.so").build(&rooms.at("m"));
    assert!(
        modelled(&module, "").works(),
        "{:#?}",
        modelled(&module, "")
    );
    let shelf = Shelf::new(HERE);
    assert_eq!(shelf.symbols(&module).unwrap().modules, ["probe"]);
}

/// Every compiled module that the interpreter of the tests can open, the model can too.
#[test]
fn the_machines_own_python_is_sound() {
    let script = "import ctypes, glob, os, sysconfig\n\
        for path in glob.glob(sysconfig.get_path('platstdlib') + '/lib-dynload/*.so'):\n\
        \ttry:\n\
        \t\tctypes.CDLL(path, os.RTLD_NOW); print(path)\n\
        \texcept OSError:\n\
        \t\tpass";
    let python = &test_python().path;
    let said = Command::new(python).args(["-I", "-c", script]).output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    let shelf = Shelf::new(HERE);
    let finder = Glibc::of_machine(OsStr::new(""), HERE, false);
    let process = Process::start(&finder, &shelf, Some(python));
    for module in said.lines().map(Path::new) {
        let load = process.clone().load(module);
        assert!(load.works(), "{}: {load:#?}", module.display());
    }
    let (libc, place) = process.look_up("libc.so.6").unwrap();
    assert!(libc.is_file());
    assert_eq!(place, Place::System);
}

#[test]
fn symbols_are_told_as_they_were_written() {
    assert_eq!(
        demangled("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"),
        "c10::detail::torchCheckFail(char const*, char const*, unsigned int, std::string const&)"
    );
    assert_eq!(demangled("?what@Error@c10@@UEBAPEBDXZ"), "c10::Error::what");
    assert_eq!(demangled("cudaFree"), "cudaFree");
    assert_eq!(demangled("?"), "?");
    assert_eq!(demangled("_Zbroken"), "_Zbroken");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A file that was cut, or whose bytes were changed anywhere, is read or refused.
    #[test]
    fn damaged_libraries_do_no_harm(
        cut in 0.0..1.0_f64,
        changes in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 0..40),
    ) {
        let mut bytes = sample().to_vec();
        for (at, byte) in changes {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        if cut < 0.5 {
            bytes.truncate((cut * 2.0 * bytes.len() as f64) as usize);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libdamaged.so");
        fs::write(&path, bytes).unwrap();
        let shelf = Shelf::new(HERE);
        let finder = Glibc::of_machine(OsStr::new(""), HERE, false);
        let mut process = Process::start(&finder, &shelf, None);
        process.load(&path);
    }
}

fn sample() -> &'static [u8] {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| {
        Library::new("libsample.so.1")
            .versioned("one", "S_1")
            .versioned("two", "S_2")
            .calls("three")
            .runpath("$ORIGIN/x")
            .bytes()
    })
}
