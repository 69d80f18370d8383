//! Packages that do not go together.

use crate::{
    fixtures::{tells, text},
    support::{Venv, Wheel, environment::torch},
};

#[test]
fn a_torchvision_for_another_torch_is_told_with_the_set_that_fits() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", None))
        .install(&Wheel::library("torchvision", "0.19.0").requires("torch==2.4.0"));
    let found = venv.has("torch-companion-mismatch", &[]);
    tells(&found, "torch==2.4.0");
    let command = text(&found["fix"][0], "command");
    assert!(
        command.contains("torch==2.9.1 torchvision==0.24.1"),
        "{command}"
    );
    assert!(command.contains("/cpu"), "{command}");
}

#[test]
fn a_torchvision_of_another_build_is_told() {
    let venv = Venv::new();
    let vision = "__version__ = '0.24.1+cpu'\nif f() > 0:\n    cuda = f()\n";
    venv.install(&torch("2.9.1", Some("12.8")))
        .install(&Wheel::library("torchvision", "0.24.1").module("torchvision/version.py", vision));
    let found = venv.has("torch-companion-mismatch", &[]);
    tells(&found, "a build for cpu, torch one for cu128");
}

#[test]
fn two_onnxruntimes_are_told_with_the_one_that_won() {
    let venv = Venv::new();
    let runtime = |name: &str, version: &str, size| {
        Wheel::new(name, version)
            .module(
                "onnxruntime/__init__.py",
                format!("__version__ = '{version}'\n"),
            )
            .ballast("onnxruntime/capi/onnxruntime_pybind11_state.so", size)
    };
    venv.install(&runtime("onnxruntime-gpu", "1.20.1", 900))
        .install(&runtime("onnxruntime", "1.19.2", 700));
    let found = venv.has("onnxruntime-cpu-and-gpu-both-installed", &[]);
    tells(&found, "that of onnxruntime\"");
    let command = text(&found["fix"][0], "command");
    assert!(command.contains("uninstall"), "{command}");
    assert!(
        command.contains("install") && command.ends_with("onnxruntime-gpu==1.20.1"),
        "{command}"
    );
}

#[test]
fn cuda_libraries_of_another_release_than_torchs_are_told() {
    let venv = Venv::new();
    let torch = torch("2.9.1", Some("12.8"))
        .requires("nvidia-cublas-cu12==12.8.4.1; platform_system != 'None'");
    let cublas = Wheel::new("nvidia-cublas-cu12", "12.1.3.1")
        .module("nvidia/cublas/__init__.py", "")
        .module("nvidia/cublas/lib/README", "x");
    venv.install(&torch).install(&cublas);
    let found = venv.has("mixed-cuda-wheels", &[]);
    tells(&found, "12.1.3.1 is installed");
    tells(&found, "nvidia-cublas-cu12==12.8.4.1");
    // A later one of the same CUDA serves as well.
    let venv = Venv::new();
    let later =
        Wheel::new("nvidia-cublas-cu12", "12.9.1.4").module("nvidia/cublas/__init__.py", "");
    venv.install(&torch).install(&later);
    venv.is_healthy(&[]).prints("is not met");
    // None at all.
    let venv = Venv::new();
    venv.install(&torch);
    let found = venv.has("cuda-runtime-libs-missing", &[]);
    tells(&found, "install --python");
    tells(&found, "nvidia-cublas-cu12==12.8.4.1");
}

#[test]
fn bitsandbytes_without_a_library_for_the_cuda_is_told() {
    let venv = Venv::new();
    let bnb = Wheel::library("bitsandbytes", "0.42.0")
        .module("bitsandbytes/libbitsandbytes_cuda118.so", "x")
        .module("bitsandbytes/libbitsandbytes_cuda121.so", "x");
    venv.install(&torch("2.9.1", Some("12.8"))).install(&bnb);
    let found = venv.has("bitsandbytes-no-binary-for-platform", &[]);
    tells(&found, "CUDA 12.8");
    tells(&found, "11.8, 12.1");
    // A later release takes the nearest of the major version.
    let bnb = Wheel::library("bitsandbytes", "0.50.0")
        .module("bitsandbytes/libbitsandbytes_cuda126.so", "x")
        .module(
            "bitsandbytes/cextension.py",
            "def _find_cuda_libs():\n    pass\n",
        );
    let venv = Venv::new();
    venv.install(&torch("2.9.1", Some("12.8"))).install(&bnb);
    venv.is_healthy(&[]);
}

#[test]
fn requirements_that_are_not_met_are_a_note() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0").requires("other>=2"))
        .install(&Wheel::library("other", "1.0"));
    venv.is_healthy(&[]).prints("is not met");
}
