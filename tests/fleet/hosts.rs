//! The simulated machines: `hosts.toml`, made into [`Host`] values by way of the JSON that
//! `aienv host --json` writes.

use std::collections::BTreeMap;

use aienv::host::{Host, SCHEMA};
use serde::Deserialize;
use serde_json::{Value, json};

const DATA: &str = include_str!("hosts.toml");

/// One simulated machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What the tables call it.
    pub name: String,
    /// What it is.
    pub host: Host,
    /// Whether it reaches the torch wheel indexes.
    pub torch_index: bool,
    /// Whether the project promises by name to get it right.
    pub named: bool,
    /// Its column in `docs/machines.md`.
    pub column: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    machines: Vec<Row>,
    systems: BTreeMap<String, Vec<String>>,
    gpus: BTreeMap<String, (String, String, Memory, String)>,
    cuda_of_driver: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    name: String,
    system: String,
    #[serde(default)]
    arch: Option<String>,
    #[serde(default)]
    cpu: Option<String>,
    #[serde(default)]
    features: Option<Vec<String>>,
    #[serde(default)]
    gpus: Vec<String>,
    #[serde(default)]
    driver: Option<String>,
    #[serde(default)]
    cuda: Option<String>,
    #[serde(default)]
    memory: Option<u64>,
    /// The kernel driver that holds the NVIDIA cards; empty for none.
    #[serde(default)]
    bound: Option<String>,
    #[serde(default = "yes")]
    kfd: bool,
    #[serde(default = "yes")]
    render: bool,
    /// An interpreter of the machine's own.
    #[serde(default)]
    python: Option<String>,
    #[serde(default)]
    container: Option<String>,
    #[serde(default)]
    wsl: Option<u8>,
    #[serde(default = "yes")]
    torch_index: bool,
    #[serde(default)]
    named: bool,
    #[serde(default)]
    column: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Memory {
    GiB(u64),
    /// `shared`
    Shared(#[expect(dead_code, reason = "it can only be one word")] String),
}

fn yes() -> bool {
    true
}

/// Every machine, in the order of the file.
pub fn machines() -> Vec<Machine> {
    let file: File = toml::from_str(DATA).unwrap();
    file.machines.iter().map(|row| row.machine(&file)).collect()
}

impl Row {
    fn machine(&self, file: &File) -> Machine {
        let host = serde_json::from_value(self.host(file))
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Machine {
            name: self.name.clone(),
            host,
            torch_index: self.torch_index,
            named: self.named,
            column: self.column.clone(),
        }
    }

    fn host(&self, file: &File) -> Value {
        let system = &file.systems[&self.system];
        let [family, id, name, version, rest @ ..] = &system[..] else {
            panic!("{}: a system has at least four fields", self.system)
        };
        let gpus: Vec<Value> = self.every_gpu(family, file);
        let has = |vendor: &str| gpus.iter().any(|gpu| gpu["vendor"] == vendor);
        let nvidia = self.driver.as_ref().map(|driver| {
            json!({
                "version": driver,
                "kernel_version": driver,
                "cuda": self.cuda(driver, file),
            })
        });
        let amd = (family == "linux" && has("amd"))
            .then(|| json!({ "kfd_accessible": self.kfd, "render_accessible": self.render }));
        json!({
            "schema": SCHEMA,
            "os": {
                "family": family,
                "id": id,
                "name": name,
                "version": version,
                "kernel": rest.get(1),
                "libc": rest.first().map(|text| libc(text)),
            },
            "cpu": {
                "arch": self.arch(),
                "model": self.cpu,
                "cores": 8,
                "features": self.features(),
            },
            "memory_bytes": self.memory_bytes(),
            "disk_free_bytes": 500_u64 << 30,
            "gpus": gpus,
            "nvidia": nvidia,
            "amd": amd,
            "pythons": self.python.iter().map(|version| json!({
                "path": "/usr/bin/python3",
                "version": version,
                "origin": "path",
            })).collect::<Vec<_>>(),
            "surroundings": { "container": self.container, "wsl": self.wsl },
        })
    }

    fn arch(&self) -> &str {
        self.arch.as_deref().unwrap_or("x86_64")
    }

    fn memory_bytes(&self) -> u64 {
        self.memory.unwrap_or(32) << 30
    }

    fn features(&self) -> Vec<&str> {
        match &self.features {
            Some(features) => features.iter().map(String::as_str).collect(),
            None if self.arch() == "aarch64" => vec!["dotprod", "neon"],
            None => vec!["avx", "avx2", "f16c", "fma"],
        }
    }

    /// The highest CUDA version the driver supports.
    fn cuda(&self, driver: &str, file: &File) -> (u16, u16) {
        let branch: u16 = driver.split('.').next().unwrap().parse().unwrap();
        let known = file.cuda_of_driver.iter();
        let newest = known
            .map(|(first, cuda)| (first.parse::<u16>().unwrap(), cuda))
            .filter(|(first, _)| *first <= branch)
            .max();
        let text = self.cuda.as_ref().or(newest.map(|(_, cuda)| cuda)).unwrap();
        let (major, minor) = text.split_once('.').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    }

    fn every_gpu(&self, family: &str, file: &File) -> Vec<Value> {
        let mut gpus: Vec<Value> = self
            .gpus
            .iter()
            .map(|name| self.gpu(name, family, file))
            .collect();
        if family == "macos" && self.arch() == "aarch64" {
            gpus.push(json!({
                "vendor": "apple",
                "name": self.cpu,
                "integrated": true,
                "memory_bytes": self.memory_bytes(),
            }));
        }
        // Where a driver sees them: on the bus, one after the other.
        for (bus, gpu) in (1..).zip(gpus.iter_mut().filter(|_| family == "linux")) {
            gpu["pci_address"] = json!(format!("0000:{bus:02x}:00.0"));
        }
        gpus
    }

    fn gpu(&self, name: &str, family: &str, file: &File) -> Value {
        let (vendor, ability, memory, pci_id) = file
            .gpus
            .get(name)
            .unwrap_or_else(|| panic!("{}: `{name}` is not in the table of GPUs", self.name));
        let integrated = matches!(memory, Memory::Shared(_));
        let own_driver = match (vendor.as_str(), family) {
            ("nvidia", "linux") => Some("nvidia"),
            ("amd", "linux") => Some("amdgpu"),
            ("intel", "linux") => Some(if integrated { "i915" } else { "xe" }),
            _ => None,
        };
        let bound = match (&self.bound, vendor.as_str()) {
            (Some(bound), "nvidia") => Some(bound.as_str()).filter(|bound| !bound.is_empty()),
            _ => own_driver,
        };
        let (full_name, capability, gfx) = match vendor.as_str() {
            "nvidia" => (format!("NVIDIA {name}"), Some(capability(ability)), None),
            "amd" => (name.to_owned(), None, Some(ability)),
            _ => (format!("Intel {name}"), None, None),
        };
        json!({
            "vendor": vendor,
            "name": full_name,
            "pci_id": (!pci_id.is_empty()).then_some(pci_id),
            "compute_capability": capability,
            "gfx": gfx,
            "memory_bytes": match memory {
                Memory::GiB(memory) => memory << 30,
                Memory::Shared(_) => self.memory_bytes(),
            },
            "integrated": integrated,
            "kernel_driver": bound,
        })
    }
}

/// `8.9` as two numbers.
fn capability(text: &str) -> (u16, u16) {
    let (major, minor) = text.split_once('.').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

/// `glibc 2.36` as the JSON of a host has it.
fn libc(text: &str) -> Value {
    let (family, version) = text.split_once(' ').unwrap();
    let (major, minor) = version.split_once('.').unwrap();
    let number = |text: &str| text.parse::<u16>().unwrap();
    json!({ "family": family, "major": number(major), "minor": number(minor) })
}
