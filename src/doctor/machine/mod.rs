//! Checks of the machine: from the GPU on its bus up to what programs get to see.
//!
//! [`Machine`] is a value, read once ([`Machine::detect`]); it can be saved, sent to somebody and
//! judged elsewhere. A check ([`checks`]) is a function of that value. So a check costs nothing,
//! cannot fail, and can be tested with the machine of any report.

pub(in crate::doctor) mod builds;
pub mod checks;
mod limits;
mod load;
pub mod network;
pub(in crate::doctor) mod observe;
pub(in crate::doctor) mod verdict;

use serde::{Deserialize, Serialize};

pub use load::MachineError;
pub use observe::{
    Around, Disk, DiskUse, Engine, Folder, Kernel, Library, ModuleFiles, Node, PciDevice, Place,
    Resources, User, Variables,
};
pub use verdict::{Level, Verdict};

use crate::{
    home::Home,
    host::{Gpu, GpuVendor, Host, root::Root},
};

/// The version of the JSON form of [`Machine`].
pub const SCHEMA: u32 = 1;

/// Everything the checks look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// [`SCHEMA`] when written.
    pub schema: u32,
    /// What plans are made from, too.
    pub host: Host,
    /// The kernel and its GPU drivers.
    #[serde(default)]
    pub kernel: Kernel,
    /// GPUs and NVSwitches on the bus.
    #[serde(default)]
    pub pci: Vec<PciDevice>,
    /// Device files.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// The user.
    #[serde(default)]
    pub user: User,
    /// Libraries by the loader's search.
    #[serde(default)]
    pub libraries: Vec<Library>,
    /// Environment variables.
    #[serde(default)]
    pub variables: Variables,
    /// Container, WSL, services.
    #[serde(default)]
    pub around: Around,
    /// Memory and disks.
    #[serde(default)]
    pub resources: Resources,
}

impl Machine {
    /// Looks at this machine. Never fails, starts no program but interpreters (to learn their
    /// versions), and asks nothing of the network.
    pub fn detect(home: &Home) -> Self {
        let host = Host::detect(home.root());
        let env = |name: &str| std::env::var_os(name);
        observe::observe(host, &Root::system(), &env, home.root())
    }

    /// GPUs of one maker.
    fn gpus(&self, vendor: GpuVendor) -> impl Iterator<Item = &Gpu> {
        self.host
            .gpus
            .iter()
            .filter(move |gpu| gpu.vendor == vendor)
    }

    fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.path == path)
    }

    fn library(&self, name: &str) -> Option<&Library> {
        self.libraries.iter().find(|library| library.name == name)
    }

    fn in_container(&self) -> bool {
        self.host.surroundings.container.is_some()
    }

    fn in_wsl(&self) -> bool {
        self.host.surroundings.wsl.is_some()
    }
}
