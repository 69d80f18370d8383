//! The kernel's side: which GPU drivers are in it, and where they are not, why they might not be.
//!
//! A module that is not loaded has one of few reasons: it was never built for the running kernel,
//! the kernel refuses its signature, a file tells `modprobe` to leave it alone, or another driver
//! has the card. All of them can be read from files, without asking for the kernel's log, which
//! most users may not read.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use serde::{Deserialize, Serialize};

use crate::host::root::Root;

/// GPU drivers of the kernel.
const DRIVERS: &[&str] = &[
    "nvidia",
    "nvidia_uvm",
    "nouveau",
    "nova_core",
    "amdgpu",
    "radeon",
    "i915",
    "xe",
    "vfio_pci",
];

/// Words of the kernel's command line that matter to GPUs.
const OPTIONS: &[&str] = &[
    "nomodeset",
    "modprobe.blacklist=",
    "module_blacklist=",
    "rd.driver.blacklist=",
    "nouveau.",
    "nvidia.",
    "amdgpu.",
    "iommu=",
    "intel_iommu=",
    "amd_iommu=",
    "pci=",
    "lockdown=",
    "module.sig_enforce",
];

/// The kernel that runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kernel {
    /// GPU drivers in it, loaded or built in.
    pub drivers: BTreeSet<String>,
    /// Options on its command line that concern GPUs.
    pub options: Vec<String>,
    /// Secure Boot is on; absent without UEFI or where it cannot be read.
    pub secure_boot: Option<bool>,
    /// Unsigned modules are refused: Secure Boot's lockdown, or the kernel's own setting. Absent
    /// where neither can be read.
    pub refuses_unsigned: Option<bool>,
    /// A driver's files, where the driver is missing although its GPU is there.
    pub missing: Vec<ModuleFiles>,
}

/// What is installed of a driver that is not in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleFiles {
    /// Name of the module.
    pub name: String,
    /// Its file for the running kernel.
    pub file: Option<String>,
    /// Whether that file carries a signature; absent for compressed files.
    pub signed: Option<bool>,
    /// Other installed kernels that have it.
    pub other_kernels: Vec<String>,
    /// The running kernel's folder of modules is there. It is gone after an update that removed
    /// the old kernel, until the next start.
    pub kernel_folder: bool,
    /// What is needed to build modules for the running kernel is there.
    pub headers: bool,
    /// Sources that DKMS builds from: `nvidia-580.95.05`.
    pub sources: Vec<String>,
    /// Kernels for which DKMS left a build log without a built module.
    pub failed_builds: Vec<String>,
    /// The file that tells `modprobe` to leave it alone.
    pub switched_off_by: Option<String>,
}

impl Kernel {
    /// Reads the kernel's files. `wanted` are drivers whose GPUs are there, so that the reason is
    /// looked for where one is missing.
    pub(in crate::doctor) fn read(root: &Root, release: Option<&str>, wanted: &[&str]) -> Self {
        let drivers: BTreeSet<String> = DRIVERS
            .iter()
            .filter(|name| root.exists(&format!("/sys/module/{name}")))
            .map(|name| (*name).to_owned())
            .collect();
        let missing = wanted
            .iter()
            .filter(|name| !drivers.contains(**name))
            .filter_map(|name| Some(ModuleFiles::read(root, release?, name)))
            .collect();
        Self {
            missing,
            drivers,
            options: options(&root.read("/proc/cmdline").unwrap_or_default()),
            secure_boot: secure_boot(root),
            refuses_unsigned: refuses_unsigned(root),
        }
    }

    /// The files of a driver that is missing.
    pub fn missing(&self, driver: &str) -> Option<&ModuleFiles> {
        self.missing.iter().find(|files| files.name == driver)
    }

    /// Whether a driver is in the kernel.
    pub fn has(&self, driver: &str) -> bool {
        self.drivers.contains(driver)
    }
}

fn options(command_line: &str) -> Vec<String> {
    command_line
        .split_whitespace()
        .filter(|word| OPTIONS.iter().any(|option| word.starts_with(option)))
        .map(str::to_owned)
        .collect()
}

/// The variable of the firmware: four bytes of attributes, one of value.
fn secure_boot(root: &Root) -> Option<bool> {
    const VARIABLE: &str =
        "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let bytes = std::fs::read(root.path(VARIABLE)).ok()?;
    bytes.get(4).map(|value| *value == 1)
}

fn refuses_unsigned(root: &Root) -> Option<bool> {
    let lockdown = root
        .word("/sys/kernel/security/lockdown")
        .map(|text| !text.contains("[none]"));
    let enforced = root
        .word("/sys/module/module/parameters/sig_enforce")
        .map(|text| text == "Y");
    match (lockdown, enforced) {
        (None, None) => None,
        (one, other) => Some(one == Some(true) || other == Some(true)),
    }
}

impl ModuleFiles {
    fn read(root: &Root, release: &str, name: &str) -> Self {
        let folder = format!("/lib/modules/{release}");
        let file = module_file(root, release, name);
        Self {
            name: name.to_owned(),
            signed: file.as_deref().and_then(|file| signed(root, file)),
            file,
            other_kernels: root
                .list("/lib/modules")
                .into_iter()
                .filter(|other| other != release && module_file(root, other, name).is_some())
                .collect(),
            kernel_folder: root.exists(&format!("{folder}/modules.dep")),
            // A link into the headers, which dangles without them.
            headers: root.exists(&format!("{folder}/build/Makefile")),
            sources: root
                .list("/usr/src")
                .into_iter()
                .filter(|folder| {
                    folder
                        .strip_prefix(name)
                        .and_then(|rest| rest.strip_prefix('-'))
                        .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
                })
                .collect(),
            failed_builds: failed_builds(root, name),
            switched_off_by: switched_off_by(root, name),
        }
    }
}

/// Where `depmod` saw the module.
fn module_file(root: &Root, release: &str, name: &str) -> Option<String> {
    let folder = format!("/lib/modules/{release}");
    let list = root.read(&format!("{folder}/modules.dep")).ok()?;
    list.lines()
        .filter_map(|line| line.split(':').next())
        .find(|path| {
            let file = path.rsplit('/').next().unwrap_or_default();
            file.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(".ko"))
        })
        .map(|path| format!("{folder}/{path}"))
}

/// Whether a module's file ends as signed ones do; `None` where it is compressed or unreadable.
fn signed(root: &Root, file: &str) -> Option<bool> {
    const END: &[u8] = b"~Module signature appended~\n";
    if !file.ends_with(".ko") {
        return None;
    }
    let mut file = File::open(root.path(file)).ok()?;
    let mut end = [0; END.len()];
    file.seek(SeekFrom::End(-(END.len() as i64))).ok()?;
    file.read_exact(&mut end).ok()?;
    Some(end == END)
}

/// DKMS builds in `/var/lib/dkms/<name>/<version>/build`, which holds a log; what succeeds is moved
/// to `<version>/<kernel>`.
fn failed_builds(root: &Root, name: &str) -> Vec<String> {
    const DKMS: &str = "/var/lib/dkms";
    let mut failed = Vec::new();
    for version in root.list(&format!("{DKMS}/{name}")) {
        let folder = format!("{DKMS}/{name}/{version}");
        let Ok(log) = root.read(&format!("{folder}/build/make.log")) else {
            continue;
        };
        // `DKMS make.log for nvidia-580.95.05 for kernel 6.8.0-85-generic (x86_64)`
        let kernel = log
            .lines()
            .next()
            .and_then(|line| line.split_once("for kernel "))
            .and_then(|(_, rest)| rest.split_whitespace().next());
        if let Some(kernel) = kernel
            && !root.exists(&format!("{folder}/{kernel}"))
        {
            failed.push(kernel.to_owned());
        }
    }
    failed
}

/// The first file of `modprobe.d` that blacklists a module or replaces its loading by nothing.
fn switched_off_by(root: &Root, name: &str) -> Option<String> {
    const FOLDERS: &[&str] = &[
        "/etc/modprobe.d",
        "/run/modprobe.d",
        "/usr/lib/modprobe.d",
        "/lib/modprobe.d",
    ];
    FOLDERS
        .iter()
        .flat_map(|folder| {
            let files = root.list(folder).into_iter();
            files.map(move |file| format!("{folder}/{file}"))
        })
        .filter(|path| path.ends_with(".conf"))
        .find(|path| {
            let text = root.read(path).unwrap_or_default();
            text.lines().any(|line| {
                let mut words = line.split_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some("blacklist"), Some(module), _) => module == name,
                    (Some("install"), Some(module), Some(what)) => {
                        module == name && (what.ends_with("/false") || what.ends_with("/true"))
                    }
                    _ => false,
                }
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    const RELEASE: &str = "6.8.0-85-generic";

    fn files(tree: &Tree) -> ModuleFiles {
        let kernel = Kernel::read(&tree.root, Some(RELEASE), &["nvidia"]);
        kernel.missing("nvidia").cloned().unwrap_or_default()
    }

    #[test]
    fn drivers_and_options() {
        let tree = Tree::new(&[
            ("/sys/module/nvidia/version", "580.95.05\n"),
            ("/sys/module/i915/", ""),
            ("/sys/module/snd/", ""),
            (
                "/proc/cmdline",
                "BOOT_IMAGE=/vmlinuz root=UUID=1234 quiet nomodeset iommu=pt\n",
            ),
        ]);
        let kernel = Kernel::read(&tree.root, Some(RELEASE), &["nvidia"]);
        assert!(kernel.has("nvidia") && kernel.has("i915") && !kernel.has("nouveau"));
        assert_eq!(kernel.options, ["nomodeset", "iommu=pt"]);
        assert_eq!(kernel.missing, [], "it is not missing");
        assert_eq!(kernel.secure_boot, None);
        assert_eq!(kernel.refuses_unsigned, None);
    }

    #[test]
    fn secure_boot_and_what_it_asks_of_modules() {
        let tree = Tree::new(&[
            (
                "/sys/kernel/security/lockdown",
                "none [integrity] confidentiality\n",
            ),
            ("/sys/module/module/parameters/sig_enforce", "N\n"),
        ]);
        tree.write(
            "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
            &[6, 0, 0, 0, 1],
        );
        let kernel = Kernel::read(&tree.root, None, &[]);
        assert_eq!(kernel.secure_boot, Some(true));
        assert_eq!(kernel.refuses_unsigned, Some(true));
        tree.write(
            "/sys/kernel/security/lockdown",
            b"[none] integrity confidentiality\n",
        );
        let kernel = Kernel::read(&tree.root, None, &[]);
        assert_eq!(kernel.refuses_unsigned, Some(false));
    }

    #[test]
    fn a_module_built_for_the_kernel_before() {
        let tree = Tree::new(&[
            (
                "/lib/modules/6.8.0-85-generic/modules.dep",
                "kernel/drivers/gpu/drm/nouveau/nouveau.ko.zst: kernel/x.ko\n\
                 kernel/drivers/net/nvidia-eth.ko:\n",
            ),
            (
                "/lib/modules/6.8.0-84-generic/modules.dep",
                "updates/dkms/nvidia-uvm.ko.zst: updates/dkms/nvidia.ko.zst\n\
                 updates/dkms/nvidia.ko.zst:\n",
            ),
            ("/usr/src/nvidia-580.95.05/dkms.conf", ""),
            ("/usr/src/nvidia-settings/x", ""),
            (
                "/var/lib/dkms/nvidia/580.95.05/build/make.log",
                "DKMS make.log for nvidia-580.95.05 for kernel 6.8.0-85-generic (x86_64)\nerror\n",
            ),
            ("/var/lib/dkms/nvidia/580.95.05/6.8.0-84-generic/", ""),
        ]);
        assert_eq!(
            files(&tree),
            ModuleFiles {
                name: "nvidia".to_owned(),
                other_kernels: vec!["6.8.0-84-generic".to_owned()],
                kernel_folder: true,
                sources: vec!["nvidia-580.95.05".to_owned()],
                failed_builds: vec![RELEASE.to_owned()],
                ..ModuleFiles::default()
            }
        );
    }

    #[test]
    fn a_module_that_is_there_and_may_not_be_loaded() {
        let file = "/lib/modules/6.8.0-85-generic/updates/dkms/nvidia.ko";
        let tree = Tree::new(&[
            (
                "/lib/modules/6.8.0-85-generic/modules.dep",
                "updates/dkms/nvidia.ko:\n",
            ),
            ("/lib/modules/6.8.0-85-generic/build/Makefile", ""),
            (file, "module without a signature, some bytes long"),
            (
                "/etc/modprobe.d/gpu.conf",
                "# blacklist nvidia\nblacklist nouveau\n",
            ),
            (
                "/lib/modprobe.d/off.conf",
                "alias a b\ninstall nvidia /bin/false\n",
            ),
        ]);
        let found = files(&tree);
        assert_eq!(found.file.as_deref(), Some(file));
        assert_eq!(found.signed, Some(false));
        assert!(found.headers);
        assert_eq!(
            found.switched_off_by.as_deref(),
            Some("/lib/modprobe.d/off.conf")
        );
        tree.write(file, b"bytes and more~Module signature appended~\n");
        assert_eq!(files(&tree).signed, Some(true));
    }
}
