use super::*;
use crate::doctor::machine::ModuleFiles;

#[test]
fn a_card_without_amdgpu() {
    let mut machine = amd();
    machine.host.gpus[0].kernel_driver = None;
    machine.kernel.drivers.clear();
    machine.kernel.missing = vec![ModuleFiles {
        name: "amdgpu".to_owned(),
        ..ModuleFiles::default()
    }];
    let found = problem(&machine, "amd.kernel-driver", Cause::KfdMissing);
    assert!(commands(&found).contains("linux-modules-extra-6.8.0-85-generic"));
    machine.kernel.options = vec!["nomodeset".to_owned()];
    let found = problem(&machine, "amd.kernel-driver", Cause::KfdMissing);
    assert!(found.fix[0].text.contains("nomodeset"));
    machine.kernel.options.clear();
    machine.kernel.missing[0].switched_off_by = Some("/etc/modprobe.d/x.conf".to_owned());
    let found = problem(&machine, "amd.kernel-driver", Cause::KfdMissing);
    assert!(found.fix[0].text.contains("/etc/modprobe.d/x.conf"));
    machine.host.gpus[0].integrated = true;
    note(&machine, "amd.kernel-driver", Cause::KfdMissing);
    machine.host.gpus[0].kernel_driver = Some("vfio-pci".to_owned());
    assert_eq!(problems(&machine), []);
}

#[test]
fn a_kernel_without_kfd() {
    let mut machine = amd();
    machine.nodes.retain(|node| node.path != "/dev/kfd");
    let found = problem(&machine, "amd.device-access", Cause::KfdMissing);
    assert!(found.explanation.contains("CONFIG_HSA_AMD"));
    machine.host.surroundings.container = Some("podman".to_owned());
    let found = note(&machine, "amd.device-access", Cause::KfdMissing);
    assert!(commands(&found).contains("--device /dev/kfd"));
    set(&mut machine, "HIP_VISIBLE_DEVICES", "0");
    problem(&machine, "amd.device-access", Cause::KfdMissing);
}

#[test]
fn a_user_who_may_not() {
    let mut machine = amd();
    for node in &mut machine.nodes {
        node.allowed = false;
    }
    machine.user.groups = vec!["ada".to_owned()];
    let found = problem(&machine, "amd.device-access", Cause::NotInRenderGroup);
    assert_eq!(commands(&found), "sudo usermod -aG render \"$USER\"");
    machine.user.not_yet = vec!["render".to_owned()];
    let found = problem(&machine, "amd.device-access", Cause::NotInRenderGroup);
    assert_eq!(commands(&found), "");
    assert!(found.fix[0].text.contains("Log out and in again"));
    machine.host.gpus[0].integrated = true;
    note(&machine, "amd.device-access", Cause::NotInRenderGroup);
    for node in &mut machine.nodes {
        node.allowed = true;
        node.refused = Some("Operation not permitted".to_owned());
    }
    machine.host.gpus[0].integrated = false;
    let found = problem(&machine, "amd.device-access", Cause::NotInRenderGroup);
    assert!(found.explanation.contains("list of allowed devices"));
}

#[test]
fn targets_without_a_build() {
    let mut machine = amd();
    machine.host.gpus[0].gfx = Some("gfx1031".to_owned());
    let found = note(&machine, "amd.rocm-builds", Cause::GfxNeedsOverride);
    assert!(commands(&found).contains("HSA_OVERRIDE_GFX_VERSION=10.3.0"));
    machine.host.gpus[0].gfx = Some("gfx700".to_owned());
    note(&machine, "amd.rocm-builds", Cause::GfxNotInWheel);
}

#[test]
fn graphics_of_the_processor_beside_a_card() {
    let mut machine = amd();
    let mut built_in = machine.host.gpus[0].clone();
    built_in.integrated = true;
    built_in.gfx = Some("gfx1036".to_owned());
    machine.host.gpus.push(built_in);
    note(&machine, "amd.integrated-beside-card", Cause::IgpuSelected);
    assert!(
        !notes(&machine)
            .iter()
            .any(|note| note.check == "amd.rocm-builds")
    );
    set(&mut machine, "HIP_VISIBLE_DEVICES", "0");
    assert!(
        !notes(&machine)
            .iter()
            .any(|note| note.check == "amd.integrated-beside-card")
    );
}

#[test]
fn overrides_right_and_wrong() {
    let mut machine = amd();
    set(&mut machine, "HSA_OVERRIDE_GFX_VERSION", "11.0.0");
    assert_eq!(problems(&machine), [], "what it is anyway");
    set(&mut machine, "HSA_OVERRIDE_GFX_VERSION", "10.3.0");
    let found = problem(&machine, "variables.gfx-override", Cause::GfxNeedsOverride);
    assert!(found.title.contains("another generation"));
    set(&mut machine, "HSA_OVERRIDE_GFX_VERSION", "gfx1030");
    problem(&machine, "variables.gfx-override", Cause::GfxNeedsOverride);
    set(&mut machine, "HSA_OVERRIDE_GFX_VERSION", "11.0.2");
    note(&machine, "variables.gfx-override", Cause::GfxNeedsOverride);
    machine.host.gpus[0].gfx = Some("gfx1031".to_owned());
    set(&mut machine, "HSA_OVERRIDE_GFX_VERSION", "10.3.0");
    assert_eq!(problems(&machine), []);
    assert!(
        !notes(&machine)
            .iter()
            .any(|note| note.check == "variables.gfx-override")
    );
}
