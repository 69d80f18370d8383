use serde_json::json;

use super::*;
use crate::{
    doctor::machine::{Folder, Place},
    types::{Libc, Os},
};

fn folder(machine: &mut Machine, variable: &str, path: &str, exists: bool) -> usize {
    set(machine, variable, path);
    machine.variables.folders.push(Folder {
        variable: variable.to_owned(),
        path: path.to_owned(),
        exists,
        ..Folder::default()
    });
    machine.variables.folders.len() - 1
}

#[test]
fn variables_that_hide_gpus() {
    let mut machine = nvidia();
    set(&mut machine, "CUDA_VISIBLE_DEVICES", "0");
    assert_eq!(problems(&machine), []);
    for hiding in ["", "-1", "3", "none"] {
        set(&mut machine, "CUDA_VISIBLE_DEVICES", hiding);
        let found = problem(
            &machine,
            "variables.visible-devices",
            Cause::VisibleDevicesHideGpu,
        );
        assert_eq!(commands(&found), "unset CUDA_VISIBLE_DEVICES");
    }
    let second = machine.host.gpus[0].clone();
    machine.host.gpus.push(second);
    set(&mut machine, "CUDA_VISIBLE_DEVICES", "1");
    note(
        &machine,
        "variables.visible-devices",
        Cause::VisibleDevicesHideGpu,
    );
    let mut without = plain();
    set(&mut without, "CUDA_VISIBLE_DEVICES", "");
    assert_eq!(problems(&without), [], "there is none to hide");
}

#[test]
fn libraries_that_come_first() {
    let mut machine = nvidia();
    let at = folder(
        &mut machine,
        "LD_LIBRARY_PATH",
        "/usr/local/cuda/lib64",
        true,
    );
    machine.variables.folders[at].libraries =
        ["libcublas.so", "libcudnn.so"].map(str::to_owned).into();
    let found = note(
        &machine,
        "variables.library-path",
        Cause::LibraryPathShadows,
    );
    assert!(
        found.explanation.contains("`libcublas` and `libcudnn`"),
        "{}",
        found.explanation
    );
    machine.variables.folders[at].libraries = ["libcuda.so"].map(str::to_owned).into();
    assert_eq!(notes(&machine), [], "the driver's own");
}

#[test]
fn an_older_cpp_runtime_that_comes_first() {
    let mut machine = plain();
    let library = &mut machine.libraries[0];
    library.later = vec![library.file.take().unwrap()];
    library.path = Some("/opt/conda/lib/libstdc++.so.6".to_owned());
    library.file = Some("/opt/conda/lib/libstdc++.so.6.0.29".to_owned());
    library.place = Some(Place::Variable);
    let found = problem(&machine, "variables.library-path", Cause::LibstdcxxTooOld);
    assert!(found.fix[0].text.contains("/opt/conda/lib"));
    machine.libraries[0].file = Some("/opt/conda/lib/libstdc++.so.6.0.34".to_owned());
    assert_eq!(problems(&machine), [], "a newer one does no harm");
}

#[test]
fn variables_of_python() {
    let mut machine = plain();
    folder(&mut machine, "PYTHONHOME", "/opt/python3.9", true);
    let found = problem(&machine, "variables.python", Cause::OutsidePackagesLeakIn);
    assert_eq!(commands(&found), "unset PYTHONHOME");

    let mut machine = plain();
    let at = folder(
        &mut machine,
        "PYTHONPATH",
        "/opt/ros/lib/python3/site-packages",
        true,
    );
    note(&machine, "variables.python", Cause::OutsidePackagesLeakIn);
    machine.variables.folders[at].packages = vec!["numpy".to_owned()];
    let found = problem(&machine, "variables.python", Cause::OutsidePackagesLeakIn);
    assert!(found.explanation.contains("`numpy`"));

    let mut machine = plain();
    folder(&mut machine, "CONDA_PREFIX", "/opt/conda/envs/gone", false);
    note(&machine, "variables.python", Cause::WrongEnvironment);
}

#[test]
fn packages_of_the_user() {
    let mut machine = plain();
    machine.variables.user_site = vec![Folder {
        path: "/home/ada/.local/lib/python3.12/site-packages".to_owned(),
        packages: vec!["torch".to_owned()],
        exists: true,
        ..Folder::default()
    }];
    note(&machine, "python.user-site", Cause::OutsidePackagesLeakIn);
    set(&mut machine, "PYTHONNOUSERSITE", "1");
    assert!(
        !notes(&machine)
            .iter()
            .any(|note| note.check == "python.user-site")
    );
}

#[test]
fn variables_of_toolkit_and_network() {
    let mut machine = plain();
    folder(&mut machine, "CUDA_HOME", "/usr/local/cuda-11", false);
    note(&machine, "variables.cuda-toolkit", Cause::ToolkitUnfit);

    let mut machine = plain();
    folder(&mut machine, "SSL_CERT_FILE", "/etc/ssl/company.pem", false);
    let found = only(problems(&machine), "variables.network", None);
    assert_eq!(commands(&found), "unset SSL_CERT_FILE");

    let mut machine = plain();
    machine.variables.bad_proxies = ["HTTPS_PROXY"].map(str::to_owned).into();
    only(problems(&machine), "variables.network", None);

    let mut machine = plain();
    machine.variables.interfaces = ["eth0", "lo"].map(str::to_owned).to_vec();
    set(&mut machine, "NCCL_SOCKET_IFNAME", "ib0");
    let found = problem(&machine, "variables.collective-network", Cause::NcclEnv);
    assert!(found.evidence[0].contains("eth0"));
}

#[test]
fn processors_without_their_extensions() {
    let mut machine = plain();
    machine.host.cpu.features = vec!["avx".to_owned()];
    note(&machine, "system.processor", Cause::CpuLacksAvx);
    machine.host.cpu.features.clear();
    problem(&machine, "system.processor", Cause::CpuLacksAvx);
}

#[test]
fn c_libraries() {
    let mut machine = plain();
    machine.host.os.libc = Some(Libc::Glibc {
        major: 2,
        minor: 27,
    });
    note(&machine, "system.c-library", Cause::GlibcTooOld);
    machine.host.os.libc = Some(Libc::Glibc { major: 2, minor: 4 });
    problem(&machine, "system.c-library", Cause::GlibcTooOld);
    machine.host.os.libc = Some(Libc::Musl { major: 1, minor: 2 });
    machine.libraries[0].file = None;
    note(&machine, "system.c-library", Cause::NoWheel);
    let mut slim = plain();
    slim.libraries[0].file = None;
    let found = problem(&slim, "system.cpp-runtime", Cause::LibstdcxxTooOld);
    assert_eq!(commands(&found), "sudo apt install libstdc++6");
}

#[test]
fn memory_in_all_left_and_lost() {
    let mut machine = plain();
    machine.host.memory_bytes = Some(2 << 30);
    note(&machine, "system.memory", Cause::RamOomKilled);
    let mut machine = plain();
    machine.resources.killed_for_memory = Some(2);
    let found = note(&machine, "system.memory", Cause::RamOomKilled);
    assert!(found.title.contains("2 programs"), "{}", found.title);
    let mut machine = plain();
    machine.resources.memory_available = Some(100 << 20);
    note(&machine, "system.memory", Cause::RamOomKilled);
    machine.host.os.family = Os::Windows;
    machine.resources.swap = Some(8 << 30);
    let found = problem(&machine, "system.memory", Cause::PagefileTooSmall);
    assert!(found.fix[0].text.contains("page file"));
    machine.resources.memory_available = Some(8 << 30);
    machine.resources.swap = Some(1 << 30);
    note(&machine, "system.memory", Cause::PagefileTooSmall);
}

#[test]
fn disks() {
    let mut machine = plain();
    let space = |free: u64, files: Option<u64>| {
        serde_json::from_value(json!({"free": free << 20, "total": 1_u64 << 40, "files": files}))
            .unwrap()
    };
    machine.resources.disks[0].space = space(4096, None);
    note(&machine, "system.disk", Cause::DiskFull);
    machine.resources.disks[0].space = space(500, None);
    problem(&machine, "system.disk", Cause::DiskFull);
    machine.resources.disks[0].space = space(500_000, Some(10));
    let found = problem(&machine, "system.disk", Cause::DiskFull);
    assert!(found.explanation.contains("inodes"));
    let mut machine = plain();
    machine.resources.disks[1].space = space(10, None);
    problem(&machine, "system.disk", Cause::DiskFull);
    let mut machine = plain();
    machine.resources.disks[0].writable = false;
    only(problems(&machine), "system.disk", None);
}

#[test]
fn windows_without_its_cpp_runtime() {
    let mut machine = plain();
    machine.host.os.family = Os::Windows;
    machine.host.os.libc = None;
    machine.libraries.clear();
    machine.resources.swap = Some(16 << 30);
    assert_eq!(problems(&machine), []);
    machine.around.missing_vc_runtime = vec!["vcruntime140_1.dll".to_owned()];
    let found = problem(
        &machine,
        "system.visual-cpp-runtime",
        Cause::VcRuntimeMissing,
    );
    assert!(commands(&found).contains("VCRedist"));
}
