//! `aienv host`

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use console::style;

use super::{Context, Outcome};
use crate::{
    host::{FoundPython, Gpu, Host, NvidiaDriver, PythonOrigin},
    types::{Arch, human_bytes, human_memory},
};

#[derive(clap::Args)]
pub struct Args {
    /// Print the facts as JSON, for `--host FILE` of other commands
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let host = Host::detect(context.home.root());
    let text = if args.json {
        // Every field has a JSON form; interpreters whose paths have none are not listed.
        serde_json::to_string_pretty(&host).unwrap_or_default() + "\n"
    } else {
        render(&host)
    };
    // A reader that has seen enough (`| head`) is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// The facts as aligned lines, each with its name once.
fn render(host: &Host) -> String {
    let mut page = Page::default();
    page.line("System", &system(host));
    page.line("Processor", &processor(host));
    if !host.cpu.features.is_empty() {
        page.line("", &host.cpu.features.join(" "));
    }
    if let Some(bytes) = host.memory_bytes {
        page.line("Memory", &human_memory(bytes));
    }
    if let Some(bytes) = host.disk_free_bytes {
        page.line("Disk", &format!("{} free", human_bytes(bytes)));
    }
    if let Some(surroundings) = surroundings(host) {
        page.line("Inside", &surroundings);
    }
    if host.gpus.is_empty() {
        page.line("GPU", "none found");
    }
    for gpu in &host.gpus {
        page.line("GPU", &describe_gpu(gpu));
    }
    for npu in &host.npus {
        let driver = npu.kernel_driver.as_deref().map(|d| format!(", {d}"));
        page.line(
            "NPU",
            &format!("{}{}", npu.name, driver.unwrap_or_default()),
        );
    }
    if let Some(driver) = &host.nvidia {
        page.line("NVIDIA driver", &nvidia(driver));
    }
    if host.amd.is_some() {
        page.line("AMD driver", &amd(host));
    }
    if host.pythons.is_empty() {
        page.line("Python", "none found");
    }
    let width = host
        .pythons
        .iter()
        .map(|python| python.version.to_string().len())
        .max()
        .unwrap_or(0);
    for python in &host.pythons {
        page.line("Python", &describe_python(python, width));
    }
    if !host.unread.is_empty() {
        let _ = writeln!(page.text, "\n{}", style("Could not be read").bold());
        for problem in &host.unread {
            let _ = writeln!(page.text, "  {}: {}", problem.what, problem.why);
        }
    }
    page.text
}

/// Lines under names of one width; a name that repeats is left out.
#[derive(Default)]
struct Page {
    text: String,
    last: String,
}

impl Page {
    fn line(&mut self, name: &str, value: &str) {
        let shown = if name == self.last { "" } else { name };
        let _ = writeln!(self.text, "{}{value}", style(format!("{shown:<15}")).bold());
        if !name.is_empty() {
            self.last = name.to_owned();
        }
    }
}

fn system(host: &Host) -> String {
    let os = &host.os;
    let mut parts = vec![os.name.clone()];
    // On Windows the kernel's version says which build the name means.
    parts.extend(os.kernel.as_ref().map(|kernel| format!("kernel {kernel}")));
    parts.extend(os.libc.map(|libc| libc.to_string()));
    if os.rosetta {
        parts.push("under Rosetta".to_owned());
    }
    parts.join(", ")
}

fn processor(host: &Host) -> String {
    let cpu = &host.cpu;
    let arch = match cpu.arch {
        Arch::X86_64 => "x86-64",
        Arch::Aarch64 => "arm64",
    };
    let mut parts: Vec<String> = cpu.model.iter().cloned().collect();
    parts.push(arch.to_owned());
    parts.push(match cpu.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    });
    parts.join(", ")
}

fn surroundings(host: &Host) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(container) = &host.surroundings.container {
        parts.push(format!("{container} container"));
    }
    if let Some(version) = host.surroundings.wsl {
        parts.push(format!("WSL {version}"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn describe_gpu(gpu: &Gpu) -> String {
    let mut parts = vec![gpu.name.clone()];
    match (gpu.memory_bytes, gpu.integrated) {
        (Some(bytes), true) => parts.push(format!("{} shared", human_memory(bytes))),
        (Some(bytes), false) => parts.push(human_memory(bytes)),
        (None, true) => parts.push("shared memory".to_owned()),
        (None, false) => parts.push("memory unknown".to_owned()),
    }
    parts.extend(
        gpu.compute_capability
            .map(|(major, minor)| format!("compute capability {major}.{minor}")),
    );
    parts.extend(gpu.gfx.clone());
    parts.extend(gpu.kernel_driver.clone());
    parts.join(", ")
}

fn nvidia(driver: &NvidiaDriver) -> String {
    let user = driver.version.as_ref().map(NvidiaDriver::spelled);
    let kernel = driver.kernel_version.as_ref().map(NvidiaDriver::spelled);
    let mut parts = match (user, kernel) {
        (Some(user), Some(kernel)) if user != kernel => {
            vec![user, format!("kernel module {kernel}")]
        }
        (Some(user), _) => vec![user],
        (None, Some(kernel)) => vec![
            format!("kernel module {kernel}"),
            "no user-space driver".to_owned(),
        ],
        (None, None) => vec!["version unknown".to_owned()],
    };
    if driver.open_module == Some(true) {
        parts.push("open flavour".to_owned());
    }
    parts.extend(
        driver
            .cuda
            .map(|(major, minor)| format!("CUDA up to {major}.{minor}")),
    );
    parts.join(", ")
}

fn amd(host: &Host) -> String {
    let Some(driver) = &host.amd else {
        return String::new();
    };
    let mut parts = vec![match &driver.version {
        Some(version) => format!("amdgpu {version}"),
        None => "amdgpu of the kernel".to_owned(),
    }];
    match (driver.kfd_accessible, driver.render_accessible) {
        (true, true) => {}
        (false, true) => parts.push("no access to /dev/kfd".to_owned()),
        (true, false) => parts.push("no access to /dev/dri/renderD*".to_owned()),
        (false, false) => parts.push("no access to /dev/kfd and /dev/dri/renderD*".to_owned()),
    }
    parts.join(", ")
}

fn describe_python(python: &FoundPython, width: usize) -> String {
    let origin = match python.origin {
        PythonOrigin::Path => "PATH",
        PythonOrigin::Pyenv => "pyenv",
        PythonOrigin::Conda => "conda",
        PythonOrigin::Homebrew => "Homebrew",
        PythonOrigin::Registry => "registry",
    };
    let version = python.version.to_string();
    let kind = if python.freethreaded {
        "free-threaded, "
    } else {
        ""
    };
    format!(
        "{version:<width$}  {} ({kind}{origin})",
        python.path.display()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_workstation() {
        let host: Host = serde_json::from_value(serde_json::json!({
            "schema": 1,
            "os": {
                "family": "linux", "id": "ubuntu", "name": "Ubuntu 24.04.3 LTS",
                "version": "24.04", "kernel": "6.8.0-85-generic",
                "libc": {"family": "glibc", "major": 2, "minor": 39}
            },
            "cpu": {
                "arch": "x86_64", "model": "AMD Ryzen 9 7950X", "cores": 32,
                "features": ["avx2", "avx512f", "fma"]
            },
            "memory_bytes": 67_108_864_000_u64,
            "disk_free_bytes": 812_345_678_901_u64,
            "gpus": [
                {
                    "vendor": "nvidia", "name": "NVIDIA GeForce RTX 4090",
                    "compute_capability": [8, 9], "memory_bytes": 25_757_220_864_u64,
                    "kernel_driver": "nvidia"
                },
                {
                    "vendor": "amd", "name": "AMD Raphael", "gfx": "gfx1036",
                    "memory_bytes": 16_642_998_272_u64, "integrated": true,
                    "kernel_driver": "amdgpu"
                },
                {"vendor": "nvidia", "name": "NVIDIA GPU 10de:ffff"}
            ],
            "npus": [{"name": "Intel NPU", "kernel_driver": "intel_vpu"}],
            "nvidia": {
                "version": "570.86.10", "kernel_version": "580.95.05", "cuda": [13, 0],
                "open_module": true
            },
            "amd": {"kfd_accessible": false, "render_accessible": true},
            "surroundings": {"container": "docker", "wsl": 2},
            "pythons": [
                {"path": "/opt/py/bin/python3.13t", "version": "3.13.0", "origin": "pyenv",
                 "freethreaded": true},
                {"path": "/usr/bin/python3.9", "version": "3.9.2", "origin": "path"}
            ],
            "unread": [{"what": "libnvidia-ml.so.1", "why": "no answer within 1500 ms"}]
        }))
        .unwrap();
        insta::assert_snapshot!(console::strip_ansi_codes(&render(&host)), @r"
        System         Ubuntu 24.04.3 LTS, kernel 6.8.0-85-generic, glibc 2.39
        Processor      AMD Ryzen 9 7950X, x86-64, 32 cores
                       avx2 avx512f fma
        Memory         62.5 GiB
        Disk           812.3 GB free
        Inside         docker container, WSL 2
        GPU            NVIDIA GeForce RTX 4090, 24 GiB, compute capability 8.9, nvidia
                       AMD Raphael, 15.5 GiB shared, gfx1036, amdgpu
                       NVIDIA GPU 10de:ffff, memory unknown
        NPU            Intel NPU, intel_vpu
        NVIDIA driver  570.86.10, kernel module 580.95.05, open flavour, CUDA up to 13.0
        AMD driver     amdgpu of the kernel, no access to /dev/kfd
        Python         3.13.0  /opt/py/bin/python3.13t (free-threaded, pyenv)
                       3.9.2   /usr/bin/python3.9 (PATH)

        Could not be read
          libnvidia-ml.so.1: no answer within 1500 ms
        ");
    }
}
