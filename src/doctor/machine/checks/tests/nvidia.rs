use serde_json::json;

use super::*;
use crate::doctor::machine::{ModuleFiles, Place};

/// The same workstation with its driver not in the kernel.
fn without_module() -> Machine {
    let mut machine = nvidia();
    machine.kernel.drivers.clear();
    machine.host.nvidia = None;
    machine.host.gpus[0].kernel_driver = None;
    machine.nodes.clear();
    machine.kernel.missing = vec![ModuleFiles {
        name: "nvidia".to_owned(),
        kernel_folder: true,
        headers: true,
        ..ModuleFiles::default()
    }];
    machine
}

fn module_problem(machine: &Machine) -> Verdict {
    problem(
        machine,
        "nvidia.kernel-module",
        Cause::KernelModuleNotLoaded,
    )
}

#[test]
fn no_driver_at_all() {
    let mut machine = without_module();
    let found = module_problem(&machine);
    assert_eq!(
        found.title,
        "no driver is installed for NVIDIA GeForce RTX 4090"
    );
    assert_eq!(commands(&found), "sudo ubuntu-drivers install");
    machine.host.os.id = "fedora".to_owned();
    assert!(commands(&module_problem(&machine)).contains("akmod-nvidia"));
    machine.host.os.id = "void".to_owned();
    assert_eq!(commands(&module_problem(&machine)), "");
}

#[test]
fn nouveau_instead_of_nothing_and_beside_an_installed_driver() {
    let mut machine = without_module();
    machine.host.gpus[0].kernel_driver = Some("nouveau".to_owned());
    let found = module_problem(&machine);
    assert!(
        found.title.contains("nouveau, which cannot compute"),
        "{}",
        found.title
    );
    assert!(commands(&found).contains("ubuntu-drivers"));
    machine.kernel.missing[0].file = Some("/lib/modules/x/nvidia.ko.zst".to_owned());
    let found = module_problem(&machine);
    assert!(found.title.contains("nouveau holds"), "{}", found.title);
    assert!(commands(&found).contains("update-initramfs"));
}

#[test]
fn an_old_card_without_a_driver_is_no_problem() {
    let mut machine = without_module();
    machine.host.gpus[0].kernel_driver = Some("nouveau".to_owned());
    machine.host.gpus[0].compute_capability = Some((2, 1));
    assert_eq!(problems(&machine), []);
    assert!(
        notes(&machine)
            .iter()
            .any(|note| note.check == "nvidia.kernel-module")
    );
}

#[test]
fn secure_boot_refuses_the_module_unless_unsigned_ones_are_taken() {
    let mut machine = without_module();
    machine.kernel.missing[0].file = Some("/lib/modules/x/updates/dkms/nvidia.ko".to_owned());
    machine.kernel.missing[0].signed = Some(false);
    machine.kernel.secure_boot = Some(true);
    machine.kernel.refuses_unsigned = Some(true);
    let found = module_problem(&machine);
    assert!(found.title.contains("Secure Boot"), "{}", found.title);
    assert!(commands(&found).contains("mokutil --import"));
    machine.kernel.refuses_unsigned = Some(false);
    let found = module_problem(&machine);
    assert_eq!(found.title, "NVIDIA's module is installed and not loaded");
    assert!(commands(&found).contains("modprobe nvidia"));
}

#[test]
fn a_kernel_without_its_module() {
    let mut machine = without_module();
    machine.kernel.missing[0].other_kernels = vec!["6.8.0-84-generic".to_owned()];
    machine.kernel.missing[0].headers = false;
    let found = module_problem(&machine);
    assert!(
        found
            .title
            .contains("not built for kernel 6.8.0-85-generic"),
        "{}",
        found.title
    );
    assert!(
        found.explanation.contains("headers"),
        "{}",
        found.explanation
    );
    assert!(commands(&found).contains("linux-headers-6.8.0-85-generic"));

    machine.kernel.missing[0].failed_builds = vec!["6.8.0-85-generic".to_owned()];
    let found = module_problem(&machine);
    assert!(
        found.title.contains("could not be built"),
        "{}",
        found.title
    );
    assert!(commands(&found).contains("make.log"));

    machine.kernel.missing[0].kernel_folder = false;
    let found = module_problem(&machine);
    assert!(found.title.contains("not restarted"), "{}", found.title);
}

#[test]
fn a_module_that_is_switched_off() {
    let mut machine = without_module();
    let file = "/lib/modprobe.d/blacklist-nvidia.conf";
    machine.kernel.missing[0].switched_off_by = Some(file.to_owned());
    assert!(module_problem(&machine).title.contains(file));
    machine.kernel.missing[0].switched_off_by = None;
    machine.kernel.options = vec!["modprobe.blacklist=nouveau,nvidia".to_owned()];
    assert!(module_problem(&machine).title.contains("command line"));
    machine.kernel.options = vec!["modprobe.blacklist=nouveau".to_owned()];
    assert!(
        module_problem(&machine)
            .title
            .contains("no driver is installed")
    );
}

#[test]
fn drivers_that_do_not_drive_the_card() {
    let with = |capability: (u16, u16), version: &str, open: bool| {
        let mut machine = nvidia();
        machine.host.gpus[0].compute_capability = Some(capability);
        machine.host.gpus[0].kernel_driver = None;
        machine.host.nvidia = serde_json::from_value(json!({
            "kernel_version": version, "open_module": open
        }))
        .unwrap();
        for library in &mut machine.libraries {
            let file = library.file.as_ref().unwrap().replace("580.95.05", version);
            library.file = Some(file);
        }
        problem(
            &machine,
            "nvidia.driver-fits-gpu",
            Cause::DriverDoesNotSupportGpu,
        )
    };
    let closed = with((12, 0), "580.95.05", false);
    assert!(
        closed.title.ends_with("needs the open kernel module"),
        "{}",
        closed.title
    );
    assert!(commands(&closed).contains("nvidia-driver-580-open"));
    let old = with((12, 0), "550.54.14", false);
    assert!(old.title.contains("does not know"), "{}", old.title);
    let dropped = with((6, 1), "590.48.01", true);
    assert!(
        dropped.title.contains("no longer drives"),
        "{}",
        dropped.title
    );
    assert!(commands(&dropped).contains("nvidia-driver-580"));
    let open = with((6, 1), "580.95.05", true);
    assert!(open.title.contains("not the open one"), "{}", open.title);
    let strange = with((8, 9), "580.95.05", true);
    assert!(strange.confidence < 0.8 && commands(&strange).contains("NVRM"));
}

#[test]
fn trouble_on_the_bus_comes_before_everything_it_causes() {
    let mut machine = nvidia();
    machine.host.nvidia = serde_json::from_value(json!({"kernel_version": "580.95.05"})).unwrap();
    machine.host.gpus[0].kernel_driver = None;
    machine.pci[0].silent = true;
    let found = problem(&machine, "gpu.bus", Cause::HardwareOrFirmware);
    assert!(found.title.contains("fallen off the bus"));
    machine.pci[0].silent = false;
    machine.pci[0].unmapped_region = Some(1);
    let found = problem(&machine, "gpu.bus", Cause::HardwareOrFirmware);
    assert!(found.fix[0].text.contains("Above 4G Decoding"));
}

#[test]
fn libraries_and_module_of_two_versions() {
    let mut machine = nvidia();
    machine.host.nvidia = serde_json::from_value(json!({
        "version": "580.95.05", "kernel_version": "575.64.03"
    }))
    .unwrap();
    let found = problem(&machine, "nvidia.versions", Cause::DriverLibraryMismatch);
    assert!(found.title.contains("580.95.05") && found.title.contains("575.64.03"));
    assert!(commands(&found).contains("rmmod nvidia_uvm"));
    machine.host.surroundings.container = Some("docker".to_owned());
    let found = problem(&machine, "nvidia.versions", Cause::DriverLibraryMismatch);
    assert_eq!(commands(&found), "", "nothing to run inside a container");
}

#[test]
fn a_stub_before_the_driver() {
    let mut machine = nvidia();
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    library.later = vec![library.file.take().unwrap()];
    library.path = Some("/usr/local/cuda/lib64/stubs/libcuda.so.1".to_owned());
    library.file = library.path.clone();
    library.place = Some(Place::Variable);
    let found = problem(&machine, "nvidia.libraries", Cause::LibraryPathShadows);
    assert!(
        found.fix[0].text.contains("out of LD_LIBRARY_PATH"),
        "{:?}",
        found.fix
    );
    assert!(found.evidence.iter().any(|seen| seen.contains("580.95.05")));
}

#[test]
fn a_library_that_is_missing_or_out_of_sight() {
    let mut machine = nvidia();
    machine.host.nvidia.as_mut().unwrap().cuda = None;
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    (library.path, library.file, library.place) = (None, None, None);
    let found = problem(&machine, "nvidia.libraries", Cause::CudaLibsMissing);
    assert!(commands(&found).contains("libnvidia-compute-580"));
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    library.unseen = vec!["/usr/lib64/nvidia/libcuda.so.580.95.05".to_owned()];
    let found = problem(&machine, "nvidia.libraries", Cause::CudaLibsNotOnPath);
    assert!(commands(&found).contains("ldconfig"));
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    library.unseen = vec!["/run/opengl-driver/lib/libcuda.so.580.95.05".to_owned()];
    machine.host.nvidia.as_mut().unwrap().cuda = Some((13, 0));
    assert_eq!(problems(&machine), [], "as NixOS has it");
}

#[test]
fn a_driver_without_its_compiler() {
    let mut machine = nvidia();
    let absent = json!({"name": "libnvidia-ptxjitcompiler.so.1"});
    machine
        .libraries
        .push(serde_json::from_value(absent).unwrap());
    note(&machine, "nvidia.libraries", Cause::CudaLibsMissing);
    machine.libraries.last_mut().unwrap().file = Some("/usr/lib/x.so.580.95.05".to_owned());
    assert_eq!(notes(&machine), []);
}

#[test]
fn compatibility_libraries_are_for_data_centres() {
    let mut machine = nvidia();
    machine.host.nvidia.as_mut().unwrap().kernel_version = "550.54.15".parse().ok();
    machine
        .libraries
        .retain(|library| library.name != "libnvidia-ml.so.1");
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    library.path = Some("/usr/local/cuda/compat/libcuda.so.1".to_owned());
    library.file = Some("/usr/local/cuda/compat/libcuda.so.580.95.05".to_owned());
    problem(&machine, "nvidia.libraries", Cause::DriverTooOld);
    machine.host.gpus[0].name = "NVIDIA H100 80GB HBM3".to_owned();
    note(&machine, "nvidia.libraries", Cause::DriverTooOld);
}

#[test]
fn device_files() {
    let mut machine = nvidia();
    machine.nodes.retain(|node| node.path != "/dev/nvidia-uvm");
    assert_eq!(problems(&machine), [], "made when it is first needed");
    machine.around.makes_device_files = false;
    let found = problem(&machine, "nvidia.device-files", Cause::UvmNotUsable);
    assert!(commands(&found).contains("nvidia-modprobe -u"));

    let mut machine = nvidia();
    for node in &mut machine.nodes {
        node.allowed = false;
        node.group = Some("video".to_owned());
    }
    machine.user.groups.retain(|group| group != "video");
    let found = only(problems(&machine), "nvidia.device-files", None);
    assert!(commands(&found).contains("usermod -aG video"));
    machine.user.not_yet = vec!["video".to_owned()];
    let found = only(problems(&machine), "nvidia.device-files", None);
    assert!(
        found.fix[0].text.contains("log out and in again"),
        "{:?}",
        found.fix
    );
}

#[test]
fn a_container_that_lost_its_devices() {
    let mut machine = nvidia();
    machine.host.surroundings.container = Some("docker".to_owned());
    machine.nodes[2].refused = Some("Operation not permitted (os error 1)".to_owned());
    machine.host.nvidia.as_mut().unwrap().cuda = None;
    let found = problem(
        &machine,
        "nvidia.device-files",
        Cause::ContainerCgroupLostGpu,
    );
    assert!(found.evidence[0].contains("not permitted"));
}

#[test]
fn a_driver_that_does_not_answer() {
    let mut machine = nvidia();
    machine.host.nvidia.as_mut().unwrap().cuda = None;
    machine.host.unread = serde_json::from_value(json!([
        {"what": "NVIDIA driver libraries", "why": "no answer within 1500 ms"}
    ]))
    .unwrap();
    let found = problem(&machine, "nvidia.answers", Cause::HardwareOrFirmware);
    assert!(found.evidence[0].contains("1500 ms") && commands(&found).contains("Xid"));
}

#[test]
fn a_driver_too_old_for_every_build() {
    let mut machine = nvidia();
    machine.host.gpus[0].compute_capability = Some((8, 6));
    let old = json!({"version": "418.226.00", "kernel_version": "418.226.00", "cuda": [10, 1]});
    machine.host.nvidia = serde_json::from_value(old).unwrap();
    for library in &mut machine.libraries {
        let file = library
            .file
            .as_ref()
            .unwrap()
            .replace("580.95.05", "418.226.00");
        library.file = Some(file);
    }
    let found = problem(&machine, "nvidia.cuda-builds", Cause::DriverTooOld);
    assert!(found.title.contains("418.226.00"), "{}", found.title);
    machine.host.gpus[0].compute_capability = Some((2, 1));
    note(&machine, "nvidia.cuda-builds", Cause::ArchDropped);
}

#[test]
fn switches_without_their_manager_and_peers_behind_an_iommu() {
    let mut machine = nvidia();
    let mut second = machine.host.gpus[0].clone();
    second.pci_address = Some("0000:02:00.0".to_owned());
    machine.host.gpus.push(second);
    machine.pci = serde_json::from_value(json!([
        {"address": "0000:01:00.0", "is_gpu": true, "iommu": "DMA-FQ"},
        {"address": "0000:02:00.0", "is_gpu": true, "iommu": "DMA-FQ"},
        {"address": "0000:05:00.0", "is_gpu": false}
    ]))
    .unwrap();
    note(&machine, "nvidia.peer-access", Cause::NcclP2p);
    machine.pci[0].iommu = Some("identity".to_owned());
    assert!(
        !notes(&machine)
            .iter()
            .any(|note| note.check == "nvidia.peer-access")
    );
    machine.around.fabric_manager = Some(false);
    let found = problem(
        &machine,
        "nvidia.fabric-manager",
        Cause::FabricManagerNotRunning,
    );
    assert!(commands(&found).contains("nvidia-fabricmanager-580"));
    machine.around.fabric_manager = Some(true);
    assert_eq!(problems(&machine), []);
}
