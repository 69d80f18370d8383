//! Host snapshots for `--host FILE`: machines that nobody here owns.

use aienv::{
    host::{Cpu, FoundPython, Gpu, GpuVendor, Host, NvidiaDriver, OsInfo, PythonOrigin, SCHEMA},
    types::{Arch, Libc, Os, Version},
};

fn bare(os: OsInfo, arch: Arch) -> Host {
    Host {
        schema: SCHEMA,
        os,
        cpu: Cpu {
            arch,
            model: None,
            cores: 8,
            features: Vec::new(),
        },
        memory_bytes: Some(32 << 30),
        disk_free_bytes: Some(500 << 30),
        gpus: Vec::new(),
        npus: Vec::new(),
        nvidia: None,
        amd: None,
        surroundings: Default::default(),
        pythons: Vec::new(),
        unread: Vec::new(),
    }
}

fn linux(major: u16, minor: u16) -> OsInfo {
    OsInfo {
        family: Os::Linux,
        id: "debian".to_owned(),
        name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        version: "12".to_owned(),
        kernel: Some("6.1.0".to_owned()),
        libc: Some(Libc::Glibc { major, minor }),
        rosetta: false,
    }
}

/// A Linux machine with glibc 2.36 and no GPU.
pub fn linux_cpu() -> Host {
    bare(linux(2, 36), Arch::X86_64)
}

/// A 64-bit Arm Linux machine without a GPU.
pub fn linux_arm() -> Host {
    bare(linux(2, 36), Arch::Aarch64)
}

/// A Linux machine with glibc 2.17, too old for most wheels of today.
pub fn old_glibc() -> Host {
    bare(linux(2, 17), Arch::X86_64)
}

/// A Linux machine with one NVIDIA GPU: driver version, the CUDA version it supports, compute
/// capability.
pub fn linux_nvidia(driver: &str, cuda: (u16, u16), compute_capability: (u16, u16)) -> Host {
    let version: Version = driver.parse().unwrap();
    let mut host = linux_cpu();
    host.gpus.push(Gpu {
        vendor: GpuVendor::Nvidia,
        name: "NVIDIA Test GPU".to_owned(),
        pci_id: Some("10de:2684".to_owned()),
        pci_address: Some("0000:01:00.0".to_owned()),
        compute_capability: Some(compute_capability),
        gfx: None,
        memory_bytes: Some(24 << 30),
        integrated: false,
        kernel_driver: Some("nvidia".to_owned()),
    });
    host.nvidia = Some(NvidiaDriver {
        version: Some(version.clone()),
        kernel_version: Some(version),
        cuda: Some(cuda),
        open_module: Some(true),
    });
    host
}

/// A Windows machine without a GPU.
pub fn windows() -> Host {
    let os = OsInfo {
        family: Os::Windows,
        id: "windows".to_owned(),
        name: "Windows 11 24H2".to_owned(),
        version: "10.0.26100".to_owned(),
        kernel: None,
        libc: None,
        rosetta: false,
    };
    bare(os, Arch::X86_64)
}

/// A Mac with Apple silicon.
pub fn macos_arm() -> Host {
    let os = OsInfo {
        family: Os::Macos,
        id: "macos".to_owned(),
        name: "macOS 15.1".to_owned(),
        version: "15.1".to_owned(),
        kernel: Some("24.1.0".to_owned()),
        libc: None,
        rosetta: false,
    };
    let mut host = bare(os, Arch::Aarch64);
    host.cpu.model = Some("Apple M3 Max".to_owned());
    host.gpus.push(Gpu {
        vendor: GpuVendor::Apple,
        name: "Apple M3 Max".to_owned(),
        pci_id: None,
        pci_address: None,
        compute_capability: None,
        gfx: None,
        memory_bytes: Some(32 << 30),
        integrated: true,
        kernel_driver: None,
    });
    host
}

/// The same machine with an interpreter that is found on PATH.
pub fn with_python(mut host: Host, path: &std::path::Path, version: &str) -> Host {
    host.pythons.push(FoundPython {
        path: path.to_owned(),
        version: version.parse().unwrap(),
        origin: PythonOrigin::Path,
        freethreaded: false,
    });
    host
}
