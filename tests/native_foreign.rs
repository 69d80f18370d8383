//! The loaders of Windows and macOS, asked about from any system.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use aienv::native::{
    Format, Image, Machine, Place, Process, Shelf, macos::Macos, windows::Windows,
};
use support::foreign::{Dll, Dylib, universal};

#[test]
fn a_dll_tells_what_it_asks_for_and_offers() {
    let folder = tempfile::tempdir().unwrap();
    let path = Dll::new()
        .imports("KERNEL32.dll", &["LoadLibraryW"])
        .imports("c10.dll", &["a", "b"])
        .exports("PyInit__C")
        .write(folder.path(), "_C.pyd");
    let image = Image::read(&path, Machine::X86_64).unwrap();
    assert_eq!(image.format, Format::Pe);
    let needed: Vec<&str> = image.needed.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(needed, ["KERNEL32.dll", "c10.dll"]);
    let shelf = Shelf::new(Machine::X86_64);
    let symbols = shelf.symbols(&path).unwrap();
    assert_eq!(symbols.modules, ["_C"]);
    let wanted: Vec<_> = symbols
        .undefined
        .iter()
        .map(|u| (u.name.as_str(), u.library.as_deref()))
        .collect();
    assert_eq!(
        wanted,
        [
            ("LoadLibraryW", Some("KERNEL32.dll")),
            ("a", Some("c10.dll")),
            ("b", Some("c10.dll"))
        ]
    );
}

#[test]
fn windows_looks_beside_the_module_in_added_folders_and_in_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let module = Dll::new()
        .imports("api-ms-win-crt-heap-l1-1-0.dll", &["malloc"])
        .imports("KERNEL32.dll", &["Sleep"])
        .imports("beside.dll", &["x"])
        .imports("C10.dll", &["y"])
        .imports("VCRUNTIME140_1.dll", &["z"])
        .write(&at("pkg"), "_C.pyd");
    Dll::new().exports("x").write(&at("pkg"), "beside.dll");
    Dll::new().exports("y").write(&at("torch/lib"), "c10.dll");
    Dll::new()
        .exports("Sleep")
        .write(&at("System32"), "kernel32.dll");
    let shelf = Shelf::new(Machine::X86_64);
    let mut finder = Windows {
        program: Some(at("python")),
        added: vec![at("torch/lib")],
        system: Some(at("System32")),
    };
    let load = Process::start(&finder, &shelf, None).load(&module);
    let names: Vec<&str> = load.missing.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["VCRUNTIME140_1.dll"]);

    // The program's own folder has it, as that of python.org does.
    Dll::new()
        .exports("z")
        .write(&at("python"), "vcruntime140_1.dll");
    let mut process = Process::start(&finder, &shelf, None);
    assert!(process.load(&module).works());
    let places: Vec<Place> = process.libraries().map(|(_, place)| place).collect();
    assert_eq!(places.last(), Some(&Place::Beside));

    // Without the added folder torch's library is lost; without a system nothing can be said of
    // names that are nowhere else.
    finder.added.clear();
    let load = Process::start(&finder, &shelf, None).load(&module);
    assert_eq!(load.missing[0].name, "C10.dll");
    finder.system = None;
    assert!(Process::start(&finder, &shelf, None).load(&module).works());
}

#[test]
fn a_function_that_its_library_lacks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    Dll::new()
        .exports("??1Error@c10@@UEAA@XZ")
        .write(folder.path(), "c10.dll");
    let module = Dll::new()
        .imports("c10.dll", &["??1Error@c10@@UEAA@XZ", "?gone@c10@@YAXXZ"])
        .write(folder.path(), "_C.pyd");
    let other = Dll::new()
        .machine(0x14c)
        .write(&folder.path().join("x"), "c10.dll");
    let shelf = Shelf::new(Machine::X86_64);
    let finder = Windows::default();
    let load = Process::start(&finder, &shelf, None).load(&module);
    assert_eq!(load.unresolved[0].symbols[0].name, "?gone@c10@@YAXXZ");
    assert_eq!(load.unresolved[0].count, 1);
    let load = Process::start(&finder, &shelf, None).load(&other);
    assert_eq!(load.missing[0].other_machine, [other]);
}

#[test]
fn a_dylib_tells_what_it_asks_for_and_offers() {
    let folder = tempfile::tempdir().unwrap();
    let path = Dylib::new("@rpath/libtorch.dylib")
        .needs("@rpath/libc10.dylib", &["x"])
        .likes("/System/Library/Frameworks/Metal.framework/Metal")
        .rpath("@loader_path/../lib")
        .minimum(14, 2)
        .exports("PyInit__C")
        .write(&folder.path().join("libtorch.dylib"));
    let image = Image::read(&path, Machine::Aarch64).unwrap();
    assert_eq!(image.format, Format::MachO);
    assert_eq!(image.soname.as_deref(), Some("@rpath/libtorch.dylib"));
    assert_eq!(image.runpath, ["@loader_path/../lib"]);
    assert_eq!(image.minimum_macos, Some((14, 2)));
    assert!(!image.needed[0].optional && image.needed[1].optional);
    let shelf = Shelf::new(Machine::Aarch64);
    let symbols = shelf.symbols(&path).unwrap();
    assert_eq!(symbols.modules, ["_C"]);
    assert_eq!(symbols.undefined[0].name, "_x");
    assert_eq!(
        symbols.undefined[0].library.as_deref(),
        Some("@rpath/libc10.dylib")
    );
}

#[test]
fn macos_follows_search_paths_and_leaves_system_libraries_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let c10 = Dylib::new("@rpath/libc10.dylib").exports("x");
    c10.write(&at("torch/lib/libc10.dylib"));
    let module = Dylib::new("_C")
        .needs("/usr/lib/libSystem.B.dylib", &["malloc"])
        .needs("@rpath/libc10.dylib", &["x"])
        .rpath("@loader_path/../torch/lib");
    let module = module.write(&at("pkg/_C.so"));
    let shelf = Shelf::new(Machine::Aarch64);
    let mut finder = Macos::default();
    assert!(Process::start(&finder, &shelf, None).load(&module).works());

    // The variable is asked first, and what is there lacks the symbol.
    Dylib::new("@rpath/libc10.dylib").write(&at("old/libc10.dylib"));
    finder.library_path = vec![at("old")];
    let load = Process::start(&finder, &shelf, None).load(&module);
    assert_eq!(load.unresolved[0].symbols[0].name, "_x");

    // For the other processor only.
    let intel = c10.intel().write(&at("intel/libc10.dylib"));
    finder.library_path.clear();
    let lost = Dylib::new("_D")
        .needs("@rpath/libc10.dylib", &["x"])
        .rpath("@loader_path/../intel")
        .write(&at("pkg/_D.so"));
    let load = Process::start(&finder, &shelf, None).load(&lost);
    assert_eq!(
        load.missing[0].other_machine[0].canonicalize().unwrap(),
        intel.canonicalize().unwrap()
    );
}

#[test]
fn the_part_of_a_universal_file_that_fits_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libboth.dylib");
    let parts = [
        Dylib::new("intel").intel(),
        Dylib::new("apple").minimum(12, 0),
    ];
    fs::write(&path, universal(&parts)).unwrap();
    let apple = Image::read(&path, Machine::Aarch64).unwrap();
    assert_eq!(apple.soname.as_deref(), Some("apple"));
    assert_eq!(apple.machines, [Machine::Aarch64, Machine::X86_64]);
    let intel = Image::read(&path, Machine::X86_64).unwrap();
    assert_eq!(intel.soname.as_deref(), Some("intel"));
    assert!(intel.runs_on(Machine::Aarch64));
}
