//! Compiled files, and the libraries they need.

use std::fs;

use crate::{
    fixtures::{compiled, module_file, numpy, on, tells, with_gpu, words},
    support::{Library, Venv, Wheel, environment::torch},
};

/// A NumPy whose interface lies where NumPy 2 has it.
fn with_interface(module: Library, path: &str) -> Library {
    module.text("interface", path).calls("PyCapsule_GetPointer")
}

/// The same, compiled with NumPy's own headers, which ask for the interface at import.
fn with_headers(module: Library, path: &str) -> Library {
    with_interface(module, path).text("refusal", "_ARRAY_API is not PyCapsule object")
}

#[test]
fn compiled_packages_that_find_what_they_need_are_healthy() {
    let venv = Venv::new();
    let base = Library::new("libhelperbase.so.1").function("base");
    let linked = base.build(&venv.world.work());
    let module = with_interface(Library::module("_C.so"), "numpy._core._multiarray_umath")
        .calls("base")
        .needs(&linked)
        .runpath("$ORIGIN/../helper.libs");
    let wheel =
        compiled("helper", "1.0", &module).module("helper.libs/libhelperbase.so.1", base.bytes());
    venv.install(&numpy("2.2.6")).install(&wheel);
    venv.is_healthy(&["--no-run"])
        .prints("2 compiled files find what they need");
    venv.is_healthy(&[]);
}

#[test]
fn an_extension_for_numpy_1_under_numpy_2_is_told() {
    let old = with_headers(Library::module("_C.so"), "numpy.core._multiarray_umath");
    let venv = Venv::new();
    venv.install(&numpy("1.26.4"))
        .install(&compiled("oldext", "0.3", &old));
    venv.is_healthy(&[]);
    let venv = Venv::new();
    venv.install(&numpy("2.2.6"))
        .install(&compiled("oldext", "0.3", &old));
    let found = venv.has("numpy2-abi", &[]);
    tells(&found, "oldext");
    tells(&found, "numpy<2");
    // One that knows both.
    let both = old.text("newer", "numpy._core._multiarray_umath");
    let venv = Venv::new();
    venv.install(&numpy("2.2.6"))
        .install(&compiled("newext", "1.0", &both));
    venv.is_healthy(&[]);
    // One that asks when it first gets an array, which may be never.
    let late = with_interface(Library::module("_C.so"), "numpy.core._multiarray_umath");
    let venv = Venv::new();
    venv.install(&numpy("2.2.6"))
        .install(&compiled("lateext", "1.0", &late));
    venv.is_healthy(&[]).prints("lateext was made for NumPy 1");
}

/// A module that needs a library which its wheel brings beside it.
fn with_library(venv: &Venv) -> Wheel {
    let base = Library::new("libhelperbase.so.1").function("base");
    let linked = base.build(&venv.world.work());
    let module = Library::module("_C.so")
        .calls("base")
        .needs(&linked)
        .runpath("$ORIGIN/../helper.libs");
    compiled("helper", "1.0", &module).module("helper.libs/libhelperbase.so.1", base.bytes())
}

#[test]
fn a_removed_library_is_told_with_the_package_to_install_again() {
    let venv = Venv::new();
    venv.install(&with_library(&venv));
    venv.is_healthy(&[]);
    fs::remove_file(venv.file("helper.libs/libhelperbase.so.1")).unwrap();
    let found = venv.has("environment-files-damaged", &[]);
    tells(&found, "libhelperbase.so.1");
    tells(&found, "helper==1.0");
}

#[test]
fn a_cut_library_is_told() {
    let venv = Venv::new();
    venv.install(&with_library(&venv));
    let path = venv.file("helper.libs/libhelperbase.so.1");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
    tells(
        &venv.has("environment-files-damaged", &[]),
        "libhelperbase.so.1",
    );
}

#[test]
fn a_library_that_nobody_has_is_told_and_one_that_no_import_needs_is_not() {
    let venv = Venv::new();
    let nowhere = Library::new("libaienvnowhere.so.9").function("lost");
    let nowhere = nowhere.build(&venv.world.work());
    let module = Library::module("_C.so").calls("lost").needs(&nowhere);
    venv.install(&compiled("helper", "1.0", &module));
    let found = venv.has("native-library-missing", &[]);
    tells(&found, "libaienvnowhere.so.9");
    tells(&found, "_C.");

    // The same module, which the package imports only if it can.
    let venv = Venv::new();
    let wheel = Wheel::library("helper", "1.0").platlib();
    let wheel = wheel.module(&format!("helper/{}", module_file("_C")), module.bytes());
    venv.install(&wheel);
    venv.is_healthy(&[]);
}

#[test]
fn missing_display_libraries_are_those_of_opencv() {
    let venv = Venv::new();
    let gl = Library::new("libGL.so.1.aienv").soname(Some("libGLX.so.77"));
    let gl = gl.function("glx").build(&venv.world.work());
    let module = Library::module("_C.so").calls("glx").needs(&gl);
    let opencv = Wheel::new("opencv-python", "4.10.0")
        .platlib()
        .module("cv2/__init__.py", "from . import _C\n")
        .module(&format!("cv2/{}", module_file("_C")), module.bytes());
    venv.install(&opencv);
    let found = venv.has("libgl-missing", &[]);
    tells(&found, "opencv-python-headless");
}

#[test]
fn a_module_for_another_python_is_told() {
    let venv = Venv::new();
    let module = Library::module("_C.so");
    let wheel = Wheel::new("helper", "1.0")
        .platlib()
        .module("helper/__init__.py", "")
        .module("helper/_C.cpython-37m-x86_64-linux-gnu.so", module.bytes());
    venv.install(&wheel);
    let found = venv.has("wrong-environment-used", &[]);
    tells(&found, "Python 3.7");
}

#[test]
fn an_extension_for_another_torch_is_told_with_the_readable_symbol() {
    let venv = Venv::new();
    let c10 = |function: &str| Library::new("libc10.so").function(function);
    let old = c10("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs");
    let linked = old.build(&venv.world.work());
    let module = Library::module("_C.so")
        .calls("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs")
        .needs(&linked)
        .runpath("$ORIGIN/../torch/lib");
    let torch =
        |library: &Library| torch("2.9.1", None).module("torch/lib/libc10.so", library.bytes());
    venv.install(&torch(&old))
        .install(&compiled("flash_attn", "2.5.6", &module));
    venv.is_healthy(&[]);
    let venv = Venv::new();
    let new = c10("_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string");
    venv.install(&torch(&new))
        .install(&compiled("flash_attn", "2.5.6", &module));
    let found = venv.has("extension-built-for-other-torch", &[]);
    tells(&found, "c10::detail::torchCheckFail(char const*");
    tells(&found, "flash_attn");
}

/// NVIDIA's layout: a library that finds another one by `DT_RUNPATH`, which the variable
/// precedes.
fn nvidia(venv: &Venv) -> Wheel {
    let link = Library::new("libnvJitLink.so.12")
        .function("__nvJitLinkCreate_12_8")
        .function("__nvJitLinkComplete_12_8");
    let linked = link.build(&venv.world.work());
    let sparse = Library::module("_C.so")
        .calls("__nvJitLinkComplete_12_8")
        .needs(&linked)
        .runpath("$ORIGIN/../nvidia/nvjitlink/lib");
    compiled("sparse", "1.0", &sparse)
        .module("nvidia/nvjitlink/lib/libnvJitLink.so.12", link.bytes())
}

#[test]
fn an_older_library_that_a_variable_puts_first_is_told_with_both_paths() {
    let mut venv = Venv::new();
    venv.install(&nvidia(&venv));
    venv.is_healthy(&[]);
    let toolkit = venv.world.root().join("cuda-12.1/lib64");
    Library::new("libnvJitLink.so.12")
        .function("__nvJitLinkCreate_12_1")
        .build(&toolkit);
    venv.world.env("LD_LIBRARY_PATH", &toolkit);
    let found = venv.has("ld-library-path-shadows-wheel-libs", &[]);
    tells(&found, "cuda-12.1/lib64/libnvJitLink.so.12");
    tells(&found, "nvidia/nvjitlink/lib/libnvJitLink.so.12");
    assert_eq!(found["fix"][0]["command"], "unset LD_LIBRARY_PATH");
}

#[test]
fn a_library_that_torch_lacks_is_told_though_torch_is_what_asks() {
    let venv = Venv::new();
    let solver = Library::new("libcudnn.so.9").function("cudnnCreate");
    let linked = solver.build(&venv.world.work());
    let python = Library::module("_C.so")
        .calls("cudnnCreate")
        .needs(&linked)
        .runpath("$ORIGIN/lib/../../nvidia/cudnn/lib");
    let torch = torch("2.9.1", Some("12.8"))
        .module(&format!("torch/{}", module_file("_C")), python.bytes())
        .module("torch/uses.py", "from . import _C\n");
    let import = Wheel::library("user", "1.0").module("user/__init__.py", "import torch.uses\n");
    venv.install(&torch).install(&import);
    let found = venv.has_read("cuda-runtime-libs-missing", &[]);
    tells(&found, "libcudnn.so.9");
    // Of the two that exist, the one for torch's CUDA.
    tells(&found, "nvidia-cudnn-cu12");
    let cudnn = Wheel::new("nvidia-cudnn-cu12", "9.10.2")
        .module("nvidia/cudnn/lib/libcudnn.so.9", solver.bytes());
    venv.install(&cudnn);
    venv.is_healthy(&[]);
}

#[test]
fn parts_of_different_cuda_releases_are_one_problem() {
    let venv = Venv::new();
    let link = |minor: u32| {
        let symbol = format!("__nvJitLinkComplete_12_{minor}");
        Library::new("libnvJitLink.so.12").versioned(&symbol, "libnvJitLink.so.12")
    };
    let linked = link(4).build(&venv.world.work());
    let sparse = Library::module("_C.so")
        .calls("__nvJitLinkComplete_12_4")
        .needs(&linked)
        .runpath("$ORIGIN/../nvidia/nvjitlink/lib");
    let torch = torch("2.6.0", Some("12.4")).requires("nvidia-nvjitlink-cu12==12.4.127");
    let nvidia = |version: &str, minor| {
        Wheel::new("nvidia-nvjitlink-cu12", version).module(
            "nvidia/nvjitlink/lib/libnvJitLink.so.12",
            link(minor).bytes(),
        )
    };
    venv.install(&torch)
        .install(&compiled("sparse", "1.0", &sparse))
        .install(&nvidia("12.1.105", 1));
    let found = venv.has("mixed-cuda-wheels", &[]);
    tells(&found, "__nvJitLinkComplete_12_4");
    tells(&found, "nvidia-nvjitlink-cu12==12.4.127");
    let run = venv.doctor(&["--json"]);
    let all = run.json()["findings"].as_array().unwrap().clone();
    let problems = all.iter().filter(|finding| finding["level"] == "problem");
    assert_eq!(problems.count(), 1, "{all:#?}");
}

#[test]
fn a_stub_of_the_driver_that_comes_first_is_told() {
    let mut venv = Venv::new();
    venv.install(&torch("2.9.1", Some("12.8")));
    let stubs = venv.world.root().join("cuda/lib64/stubs");
    Library::new("libcuda.so.1")
        .function("cuInit")
        .build(&stubs);
    venv.world.env("LD_LIBRARY_PATH", &stubs);
    let found = venv.has("ld-library-path-shadows-wheel-libs", &[]);
    tells(&found, "stub");
    tells(&found, "lib64/stubs/libcuda.so.1");
}

#[test]
fn a_cxx_library_without_the_version_is_told() {
    let venv = Venv::new();
    let newer = Library::new("libstdc++.so.6").versioned("fresh", "GLIBCXX_3.9.99");
    let newer = newer.build(&venv.world.work());
    let module = Library::module("_C.so").calls("fresh").needs(&newer);
    venv.install(&compiled("helper", "1.0", &module));
    let found = venv.has("libstdcxx-too-old", &[]);
    tells(&found, "GLIBCXX_3.9.99");
    let newer = Library::new("libc.so.6").versioned("fresh", "GLIBC_2.99");
    let newer = newer.build(&venv.world.work().join("c"));
    let module = Library::module("_C.so").calls("fresh").needs(&newer);
    let venv = Venv::new();
    venv.install(&compiled("helper", "1.0", &module));
    tells(&venv.has("glibc-too-old", &[]), "GLIBC_2.99");
}

#[test]
fn an_engine_for_another_cuda_than_torchs_is_told_where_there_is_a_gpu() {
    let venv = Venv::new();
    let cublas = Library::new("libcublas.so.13").function("cublas");
    let cublas = cublas.build(&venv.world.work());
    let provider = Library::new("libonnxruntime_providers_cuda.so")
        .calls("cublas")
        .needs(&cublas);
    let runtime = Wheel::new("onnxruntime-gpu", "1.27.0")
        .module("onnxruntime/__init__.py", "__version__ = '1.27.0'\n")
        .module(
            "onnxruntime/capi/libonnxruntime_providers_cuda.so",
            provider.bytes(),
        );
    venv.install(&torch("2.9.1", Some("12.8")))
        .install(&runtime);
    venv.is_healthy(&[]);
    let gpu = on(&venv, &with_gpu("580.95.05", (13, 0), (8, 9)));
    let found = venv.has_read("engine-cuda-cudnn-mismatch", &words(&gpu));
    tells(&found, "made for CUDA 13, and CUDA 12 is installed");
    // Installed, in a folder where the loader does not look.
    let library = Library::new("libcublas.so.13").function("cublas").bytes();
    let cublas =
        Wheel::new("nvidia-cublas", "13.0.2").module("nvidia/cu13/lib/libcublas.so.13", library);
    venv.install(&cublas);
    venv.has_read("cuda-libs-not-on-loader-path", &words(&gpu));
}
