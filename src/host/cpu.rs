//! The processor: architecture, model, cores, and the instruction sets that AI programs choose
//! their kernels by.
//!
//! Features are asked of the processor itself (with the operating system's consent, which the
//! standard library's macros check), so the answer is the same everywhere; only the model name
//! needs the kernel's files.

use super::{Cpu, Unread, root::Root};
use crate::types::Arch;

/// Facts about this machine's processor.
pub(super) fn detect(root: &Root, unread: &mut Vec<Unread>) -> Cpu {
    let cores = std::thread::available_parallelism().map_or_else(
        |error| {
            unread.push(Unread::new("the number of cores", error));
            1
        },
        usize::from,
    );
    Cpu {
        arch: arch(),
        model: model(root),
        cores,
        features: features(),
    }
}

/// The architecture of the machine; under Rosetta that is not the one of this process.
pub(super) fn arch() -> Arch {
    #[cfg(target_os = "macos")]
    if crate::platform::sysctl::number("sysctl.proc_translated").is_ok_and(|v| v == 1) {
        return Arch::Aarch64;
    }
    if cfg!(target_arch = "aarch64") {
        Arch::Aarch64
    } else {
        Arch::X86_64
    }
}

#[cfg(target_os = "macos")]
fn model(_root: &Root) -> Option<String> {
    crate::platform::sysctl::text("machdep.cpu.brand_string").ok()
}

#[cfg(windows)]
fn model(_root: &Root) -> Option<String> {
    windows_registry::LOCAL_MACHINE
        .open(r"HARDWARE\DESCRIPTION\System\CentralProcessor\0")
        .and_then(|key| key.get_string("ProcessorNameString"))
        .map(|name| name.trim().to_owned())
        .ok()
}

#[cfg(not(any(target_os = "macos", windows)))]
fn model(root: &Root) -> Option<String> {
    linux_model(root)
}

/// x86 tells the model name; Arm only numbers, so a board's name or the core's design stand in.
#[cfg(any(test, not(any(target_os = "macos", windows))))]
fn linux_model(root: &Root) -> Option<String> {
    let text = root.read("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key && !value.trim().is_empty()).then(|| value.trim().to_owned())
        })
    };
    value("model name")
        .or_else(|| root.word("/sys/firmware/devicetree/base/model"))
        .or_else(|| arm_design(&value("CPU implementer")?, &value("CPU part")?))
}

/// The core design of a server processor, by Arm's main id register (implementer and part).
#[cfg(any(test, not(any(target_os = "macos", windows))))]
fn arm_design(implementer: &str, part: &str) -> Option<String> {
    let name = match (implementer, part) {
        ("0x41", "0xd08") => "Arm Cortex-A72",
        ("0x41", "0xd0b") => "Arm Cortex-A76",
        ("0x41", "0xd0c") => "Arm Neoverse N1",
        ("0x41", "0xd40") => "Arm Neoverse V1",
        ("0x41", "0xd49") => "Arm Neoverse N2",
        ("0x41", "0xd4f") => "Arm Neoverse V2",
        ("0x41", "0xd84") => "Arm Neoverse V3",
        ("0x41", "0xd8e") => "Arm Neoverse N3",
        ("0xc0", "0xac3") => "Ampere-1",
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<String> {
    macro_rules! have {
        ($($feature:tt => $name:literal),+ $(,)?) => {
            [$((is_x86_feature_detected!($feature), $name)),+]
        };
    }
    let known = have![
        "avx" => "avx",
        "avx2" => "avx2",
        "fma" => "fma",
        "f16c" => "f16c",
        "avxvnni" => "avx_vnni",
        "avx512f" => "avx512f",
        "avx512bw" => "avx512bw",
        "avx512cd" => "avx512cd",
        "avx512dq" => "avx512dq",
        "avx512vl" => "avx512vl",
        "avx512vnni" => "avx512_vnni",
        "avx512bf16" => "avx512_bf16",
        "avx512fp16" => "avx512_fp16",
    ];
    sorted(known.into_iter().chain(amx()))
}

/// AMX: leaf 7 tells what the processor has, XCR0 whether the system saves its tiles.
#[cfg(target_arch = "x86_64")]
fn amx() -> [(bool, &'static str); 3] {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: register 0 exists wherever the system uses XSAVE, which the caller has checked.
        unsafe { _xgetbv(0) }
    }

    const TILE_STATE: u64 = 0b11 << 17;
    let os_uses_xsave = __cpuid(1).ecx & (1 << 27) != 0;
    // SAFETY: XSAVE is there, as the bit before it says.
    let usable = os_uses_xsave && unsafe { enabled_state() } & TILE_STATE == TILE_STATE;
    let bits = if __cpuid(0).eax >= 7 {
        __cpuid_count(7, 0).edx
    } else {
        0
    };
    [(22, "amx_bf16"), (24, "amx_tile"), (25, "amx_int8")]
        .map(|(bit, name)| (usable && bits & (1 << bit) != 0, name))
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<String> {
    macro_rules! have {
        ($($feature:tt => $name:literal),+ $(,)?) => {
            [$((std::arch::is_aarch64_feature_detected!($feature), $name)),+]
        };
    }
    sorted(have![
        "neon" => "neon",
        "dotprod" => "dotprod",
        "fp16" => "fp16",
        "bf16" => "bf16",
        "i8mm" => "i8mm",
        "sve" => "sve",
        "sve2" => "sve2",
    ])
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("aienv knows x86-64 and 64-bit Arm processors");

fn sorted(features: impl IntoIterator<Item = (bool, &'static str)>) -> Vec<String> {
    let mut names: Vec<String> = features
        .into_iter()
        .filter(|(there, _)| *there)
        .map(|(_, name)| name.to_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    #[test]
    fn model_names() {
        for (files, name) in [
            (
                vec![(
                    "/proc/cpuinfo",
                    "processor\t: 0\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\nflags\t: x\n",
                )],
                Some("AMD Ryzen 9 7950X 16-Core Processor"),
            ),
            (
                vec![
                    (
                        "/proc/cpuinfo",
                        "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n",
                    ),
                    (
                        "/sys/firmware/devicetree/base/model",
                        "Raspberry Pi 5 Model B Rev 1.0\0",
                    ),
                ],
                Some("Raspberry Pi 5 Model B Rev 1.0"),
            ),
            (
                vec![(
                    "/proc/cpuinfo",
                    "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n",
                )],
                Some("Arm Neoverse V1"),
            ),
            (vec![("/proc/cpuinfo", "model name\t:\n")], None),
            (vec![], None),
        ] {
            assert_eq!(linux_model(&Tree::new(&files).root).as_deref(), name);
        }
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn features_agree_with_the_kernel() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags: Vec<&str> = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("flags")?.split_once(':'))
            .map_or("", |(_, flags)| flags)
            .split_whitespace()
            .collect();
        assert!(!flags.is_empty());
        for feature in features() {
            assert!(flags.contains(&feature.as_str()), "{feature}");
        }
    }
}
