//! Looking at the machine, once: every probe, side by side where it pays.
//!
//! Three things take time: driver libraries, interpreters that have to be started, and everything
//! else, which is a few small files. Each gets a thread. A probe cannot fail; what it could not
//! read comes back with it, and even a probe that breaks off only leaves its part empty.

use std::{path::Path, thread};

use super::{
    GpuVendor, Host, OsInfo, SCHEMA, Surroundings, Unread, cpu, gpu, memory, os, pythons,
    root::Root,
};
use crate::platform;

impl Host {
    /// What this machine is. `home_root` (which need not exist yet) is where aienv keeps things:
    /// the free space of its disk is told. Never fails: see [`Host::unread`].
    pub fn detect(home_root: &Path) -> Self {
        let root = Root::system();
        let env = |name: &str| std::env::var_os(name);
        let mut unread = Vec::new();
        thread::scope(|scope| {
            let gpu = scope.spawn(|| gpu::detect(&root));
            let pythons = scope.spawn(|| pythons::detect(&root, &env, cpu::arch()));

            let os: OsInfo = os::detect(&root, &mut unread);
            let cpu = cpu::detect(&root, &mut unread);
            let memory_bytes = memory::detect(&root, &mut unread);
            let disk_free_bytes = platform::free_bytes(home_root)
                .map_err(|error| unread.push(Unread::new(home_root.display(), error)))
                .ok();
            let surroundings = surroundings(&root, &env);

            let mut gpu = gpu.join().unwrap_or_else(|_| {
                unread.push(Unread::new("GPUs", "the search broke off"));
                gpu::Found::default()
            });
            let (pythons, problems) = pythons.join().unwrap_or_else(|_| {
                let problem = Unread::new("Python interpreters", "the search broke off");
                (Vec::new(), vec![problem])
            });
            unread.append(&mut gpu.unread);
            unread.extend(problems);
            for gpu in &mut gpu.gpus {
                // NVIDIA's integrated GPUs use the machine's memory and tell none of their own.
                if gpu.vendor == GpuVendor::Nvidia && gpu.integrated {
                    gpu.memory_bytes = gpu.memory_bytes.or(memory_bytes);
                }
            }
            Self {
                schema: SCHEMA,
                os,
                cpu,
                memory_bytes,
                disk_free_bytes,
                gpus: gpu.gpus,
                npus: gpu.npus,
                nvidia: gpu.nvidia,
                amd: gpu.amd,
                surroundings,
                pythons,
                unread,
            }
        })
    }
}

#[cfg(not(any(target_os = "macos", windows)))]
fn surroundings(root: &Root, env: super::Env<'_>) -> Surroundings {
    super::surroundings::detect(root, env)
}

/// Only Linux programs run in containers or WSL.
#[cfg(any(target_os = "macos", windows))]
fn surroundings(_root: &Root, _env: super::Env<'_>) -> Surroundings {
    Surroundings::default()
}
