//! PEP 508 marker environments for machines that need not be this one.

use pep508_rs::MarkerEnvironmentBuilder;

use crate::types::{Arch, MarkerEnvironment, Os, PythonVersion, Target, Version};

/// The marker values CPython `python` would report on `target`.
///
/// `platform_release` and `platform_version` are left empty: they name the running kernel, and a
/// plan must not depend on it.
pub fn marker_environment(target: &Target, python: &Version) -> MarkerEnvironment {
    let full = python.to_string();
    let short = PythonVersion::of(python).map_or_else(|| full.clone(), |short| short.to_string());
    let (os_name, sys_platform, system) = match target.os {
        Os::Linux => ("posix", "linux", "Linux"),
        Os::Macos => ("posix", "darwin", "Darwin"),
        Os::Windows => ("nt", "win32", "Windows"),
    };
    let machine = match (target.os, target.arch) {
        (Os::Windows, Arch::X86_64) => "AMD64",
        (Os::Windows, Arch::Aarch64) => "ARM64",
        (Os::Macos, Arch::Aarch64) => "arm64",
        (_, Arch::X86_64) => "x86_64",
        (_, Arch::Aarch64) => "aarch64",
    };
    let builder = MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name,
        platform_machine: machine,
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: system,
        platform_version: "",
        python_full_version: &full,
        python_version: &short,
        sys_platform,
    };
    MarkerEnvironment::try_from(builder)
        .unwrap_or_else(|_| unreachable!("the versions come from a parsed version"))
}
