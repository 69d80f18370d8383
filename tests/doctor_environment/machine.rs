//! Builds of torch that the machine cannot run.

use crate::{
    fixtures::{on, tells, text, with_gpu, words},
    support::{Venv, environment::torch, host},
};

#[test]
fn a_cpu_torch_on_a_machine_with_a_gpu_is_told_with_the_build_that_fits() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", None));
    let gpu = on(&venv, &with_gpu("580.95.05", (13, 0), (8, 9)));
    let found = venv.has("torch-cpu-build", &words(&gpu));
    let command = text(&found["fix"][0], "command");
    assert!(command.contains("torch==2.9.1"), "{command}");
    assert!(command.contains("/cu130"), "{command}");
    // An older driver takes another build.
    let gpu = on(&venv, &with_gpu("550.54.14", (12, 4), (8, 9)));
    let found = venv.has("torch-cpu-build", &words(&gpu));
    assert!(
        text(&found["fix"][0], "command").contains("/cu12"),
        "{found:#}"
    );
    // Without a GPU it is what it should be.
    let mut none = host::linux_cpu();
    none.cpu.arch = with_gpu("580.95.05", (13, 0), (8, 9)).cpu.arch;
    venv.is_healthy(&words(&on(&venv, &none)));
}

#[test]
fn a_build_that_the_driver_or_the_gpu_cannot_run_is_told() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", Some("13.0")));
    let old_driver = on(&venv, &with_gpu("550.54.14", (12, 4), (8, 9)));
    let found = venv.has_read("driver-too-old-for-cuda", &words(&old_driver));
    tells(&found, "550.54.14");
    if cfg!(target_arch = "aarch64") {
        return;
    }
    let pascal = on(&venv, &with_gpu("580.95.05", (13, 0), (6, 1)));
    let found = venv.has_read("gpu-arch-dropped-by-wheel", &words(&pascal));
    assert!(
        text(&found["fix"][0], "command").contains("/cu126"),
        "{found:#}"
    );
    let venv = Venv::new();
    venv.install(&torch("2.6.0", Some("12.4")));
    let blackwell = on(&venv, &with_gpu("580.95.05", (13, 0), (12, 0)));
    let found = venv.has_read("gpu-arch-too-new-for-wheel", &words(&blackwell));
    tells(&found, "compute capability 12.0");
}

#[test]
fn a_gpu_that_does_not_answer_is_explained_by_what_torch_says() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", Some("12.8")));
    let gpu = on(&venv, &with_gpu("580.95.05", (13, 0), (8, 9)));
    let run = venv.doctor(&[&["--json"], &words(&gpu)[..]].concat());
    assert_eq!(run.code, Some(1));
    let first = run.json()["findings"][0].clone();
    assert_eq!(
        first["title"], "torch does not compute on cuda",
        "{first:#}"
    );
    tells(&first, "Found no NVIDIA driver on your system");
}
