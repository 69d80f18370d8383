//! Plans made wrong on purpose: the checker has to find each mistake, or its silence about the
//! fleet says nothing.

use aienv::{
    catalog::manifest::{AcceleratorKind, Manifest},
    index::{DistFile, IndexId, PackageIndex as _},
    lock::{Lock, LockedPackage},
    solve::Plan,
    types::{Accelerator, PackageName, Version},
};

use crate::{
    PLANNED, Planned,
    check::{Checker, Kind},
    fleet::Outcome,
    hosts::Machine,
};

/// A tool on a machine, with its plan.
struct Case {
    manifest: Manifest,
    machine: Machine,
    plan: Plan,
    checker: Checker,
}

/// The plan of a tool for a machine, which must be right to begin with.
fn case(tool: &str, machine: &str) -> Case {
    let planned: &Planned = &PLANNED;
    let found = planned
        .all()
        .into_iter()
        .find(|(of, on, _)| of.loaded.manifest.name == tool && on.name == machine);
    let (tool, machine, Outcome::Plan(plan)) = found.unwrap() else {
        panic!("{tool} has no plan for {machine}")
    };
    let case = Case {
        manifest: tool.loaded.manifest.clone(),
        machine: machine.clone(),
        plan: Plan::clone(plan),
        checker: Checker::new(planned.index.clone()),
    };
    assert_eq!(case.violations(), [], "wrong before anything was changed");
    case
}

impl Case {
    fn violations(&self) -> Vec<crate::check::Violation> {
        self.checker
            .check(&self.machine, &self.manifest, &self.plan)
    }

    #[track_caller]
    fn finds(&self, kind: Kind) {
        let violations = self.violations();
        let found = violations.iter().any(|violation| violation.kind == kind);
        assert!(found, "{kind:?} is not among {violations:?}");
    }

    fn lock(&mut self) -> &mut Lock {
        &mut self.plan.lock
    }

    fn package(&mut self, name: &str) -> &mut LockedPackage {
        let mut packages = self.plan.lock.packages.iter_mut();
        packages
            .find(|package| package.name.as_ref() == name)
            .unwrap()
    }

    /// Puts another recorded file in the place of a package's.
    fn replace(&mut self, name: &str, with: impl Fn(&Version, &DistFile) -> bool) {
        self.replace_from(&IndexId::Default, name, with);
    }

    fn replace_from(
        &mut self,
        index: &IndexId,
        name: &str,
        with: impl Fn(&Version, &DistFile) -> bool,
    ) {
        let package: PackageName = name.parse().unwrap();
        let releases = PLANNED.index.releases(index, &package).unwrap();
        let all = releases.versions.iter().rev();
        let mut all =
            all.flat_map(|(version, files)| files.iter().map(move |file| (version, file)));
        let (version, file) = all.find(|(version, file)| with(version, file)).unwrap();
        let (version, file) = (version.clone(), file.clone());
        let package = self.package(name);
        package.version = version;
        package.artifact.file_name = file.file_name;
        package.artifact.url = file.url;
    }
}

const DESKTOP: &str = "RTX 4090, driver 580";

#[test]
fn a_driver_that_is_too_old() {
    let mut case = case("comfyui", DESKTOP);
    case.machine.host.nvidia.as_mut().unwrap().version = Some("390.157".parse().unwrap());
    case.finds(Kind::Driver);
}

#[test]
fn a_driver_that_does_not_know_the_card() {
    let mut case = case("comfyui", "RTX 5090, driver 570");
    case.machine.host.nvidia.as_mut().unwrap().version = Some("565.77".parse().unwrap());
    case.finds(Kind::Driver);
}

#[test]
fn a_build_without_code_for_the_card() {
    let mut case = case("comfyui", DESKTOP);
    case.machine.host.gpus[0].compute_capability = Some((6, 1));
    case.finds(Kind::Code);
    case.machine.host.gpus.clear();
    case.finds(Kind::Hardware);
}

#[test]
fn a_rocm_build_without_code_for_the_card() {
    let mut case = case("comfyui", "RX 7900 XTX");
    case.machine.host.gpus[0].gfx = Some("gfx803".to_owned());
    case.finds(Kind::Code);
}

#[test]
fn a_device_that_may_not_be_opened() {
    let mut case = case("comfyui", "RX 7900 XTX");
    case.machine.host.amd.as_mut().unwrap().render_accessible = false;
    case.finds(Kind::Hardware);
}

#[test]
fn a_card_that_should_be_hidden() {
    let mut case = case("comfyui", "GTX 1080 Ti and RTX 4090");
    case.lock().environment.clear();
    case.finds(Kind::Visible);
}

#[test]
fn a_torch_of_another_build() {
    let mut case = case("comfyui", DESKTOP);
    let other = IndexId::Torch(Accelerator::Cuda(12, 6));
    let python = "cp313-cp313-manylinux_2_28_x86_64";
    case.replace_from(&other, "torch", |version, file| {
        version.release().starts_with(&[2, 14]) && file.file_name.contains(python)
    });
    case.finds(Kind::Accelerator);
    case.finds(Kind::Agreement);
}

#[test]
fn an_accelerator_that_the_tool_does_not_have() {
    let mut case = case("comfyui", DESKTOP);
    case.manifest.accelerators.remove(&AcceleratorKind::Cuda);
    case.checker = Checker::new(PLANNED.index.clone());
    case.finds(Kind::Accelerator);
}

#[test]
fn a_toolkit_that_the_tool_does_not_accept() {
    let mut case = case("vllm", DESKTOP);
    case.manifest
        .accelerators
        .values_mut()
        .for_each(|needs| needs.version = "<13".parse().unwrap());
    case.finds(Kind::Accelerator);
}

#[test]
fn a_wheel_of_another_platform_or_python() {
    for part in [
        "win_amd64",
        "macosx",
        "cp311-cp311-manylinux",
        "musllinux",
        "aarch64",
    ] {
        let mut case = case("jupyterlab", DESKTOP);
        let version = case.package("pyzmq").version.clone();
        case.replace("pyzmq", |of, file| {
            *of == version && file.file_name.contains(part)
        });
        case.finds(Kind::Tag);
    }
}

#[test]
fn a_wheel_for_a_newer_system() {
    let mut case = case("comfyui", DESKTOP);
    case.machine.host.os.libc = Some(aienv::types::Libc::Glibc {
        major: 2,
        minor: 17,
    });
    case.finds(Kind::Tag);
}

#[test]
fn source_that_may_not_be_built() {
    let mut case = case("openai-whisper", DESKTOP);
    case.manifest.packages.build.clear();
    case.finds(Kind::Tag);
}

#[test]
fn any_package_that_is_missing() {
    let case = case("jupyterlab", DESKTOP);
    for at in 0..case.plan.lock.packages.len() {
        let mut plan = case.plan.clone();
        let gone = plan.lock.packages.remove(at);
        let violations = case.checker.check(&case.machine, &case.manifest, &plan);
        let missing = violations
            .iter()
            .any(|violation| violation.kind == Kind::Missing);
        assert!(missing, "nobody misses {}", gone.name);
    }
}

#[test]
fn a_package_that_nobody_asked_for() {
    let mut case = case("jupyterlab", DESKTOP);
    let mut other = self::case("comfyui", DESKTOP);
    let stranger = other.package("torchsde").clone();
    case.lock().packages.push(stranger);
    case.finds(Kind::Unwanted);
}

#[test]
fn a_version_that_a_requirement_rules_out() {
    let mut case = case("comfyui", DESKTOP);
    case.replace("comfyui-frontend-package", |version, file| {
        version.to_string() == "1.58.1" && file.wheel().is_some()
    });
    case.finds(Kind::Requirement);
}

#[test]
fn a_version_that_a_constraint_rules_out() {
    let mut case = case("comfyui", DESKTOP);
    case.manifest.packages.constraints = vec!["numpy<1".to_owned()];
    // What follows from requirements is remembered by files, which have not changed.
    case.checker = Checker::new(PLANNED.index.clone());
    case.finds(Kind::Constraint);
}

#[test]
fn an_override_that_is_not_kept() {
    let mut case = case("comfyui", DESKTOP);
    case.manifest.packages.overrides = vec!["numpy==1.0".to_owned()];
    case.checker = Checker::new(PLANNED.index.clone());
    case.finds(Kind::Requirement);
}

#[test]
fn a_withdrawn_file_or_one_that_is_nowhere() {
    let mut case = case("jupyterlab", DESKTOP);
    case.package("tornado").artifact.file_name = "tornado-99.0-py3-none-any.whl".to_owned();
    case.finds(Kind::File);
    let mut withdrawn = self::case("jupyterlab", DESKTOP);
    withdrawn.replace("jsonschema", |_, file| file.yanked.is_some());
    withdrawn.finds(Kind::File);
}

#[test]
fn an_interpreter_that_does_not_do() {
    let mut case = case("jupyterlab", DESKTOP);
    case.manifest.python.requires = "<3.10".parse().unwrap();
    case.finds(Kind::Python);
    // The managed interpreters of one platform are none of another's.
    let mut other = self::case("jupyterlab", "desktop, Windows 11");
    other.plan.lock.python = case.plan.lock.python.clone();
    other.finds(Kind::Python);
}

#[test]
fn two_owners_of_one_folder() {
    let mut case = case("rembg", "desktop, Debian 12");
    let mut other = self::case("onnxruntime", DESKTOP);
    let second = other.package("onnxruntime-gpu").clone();
    case.lock().packages.push(second);
    case.finds(Kind::Agreement);
}

#[test]
fn a_companion_of_another_cuda_version() {
    let mut case = case("f5-tts", DESKTOP);
    let other = IndexId::Torch(Accelerator::Cuda(12, 8));
    case.replace_from(&other, "torchaudio", |_, file| {
        let name = &file.file_name;
        name.contains("cp312-cp312-manylinux_2_28_x86_64")
    });
    case.finds(Kind::Agreement);
}
