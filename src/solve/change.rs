//! Single changes of a request, or of the machine it is made for: what a way out consists of.

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Request, accelerators::AcceleratorRequest};
use crate::{
    host::{GpuVendor, Host, NvidiaDriver},
    types::{Accelerator, PackageName, PythonVersion, Version, VersionSpecifiers},
};

/// One change. In JSON: `{"kind": "accelerator", "value": "cpu"}`, `{"kind": "drop-only-wheels"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Change {
    /// `--accel`.
    Accelerator(AcceleratorRequest),
    /// `--python`.
    Python(PythonVersion),
    /// `--allow-build` for these packages.
    AllowBuild(BTreeSet<PackageName>),
    /// Leave out `--only-wheels`.
    DropOnlyWheels,
    /// Another version of the tool: `TOOL==VERSION`.
    ToolVersion(Version),
    /// This NVIDIA driver in place of the machine's, or where there is none.
    Driver(#[serde(with = "spelled")] Version),
    /// This version of macOS, on a Mac.
    Macos(Version),
    /// The user may open the devices of AMD GPUs (on most systems: the group `render`).
    DeviceAccess,
    /// The torch wheel indexes can be reached. Neither request nor machine changes.
    TorchIndexes,
}

/// A change that was tried, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayOut {
    /// What is changed.
    pub change: Change,
    /// The change and its result in words.
    pub text: String,
    /// What the changed plan gives. Absent where trying it takes a server that does not answer
    /// ([`Change::TorchIndexes`]).
    pub result: Option<WayResult>,
}

/// The essence of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayResult {
    /// Version of the tool.
    pub version: Version,
    /// The accelerator build.
    pub accelerator: Accelerator,
}

impl Change {
    /// The machine after the change.
    pub fn host<'h>(&self, host: &'h Host) -> Cow<'h, Host> {
        match self {
            Self::Driver(driver) => {
                let mut host = host.clone();
                host.nvidia = Some(NvidiaDriver {
                    version: Some(driver.clone()),
                    kernel_version: Some(driver.clone()),
                    cuda: None,
                    open_module: host.nvidia.and_then(|nvidia| nvidia.open_module),
                });
                // Installing it takes the cards from the open driver, and from nothing else.
                let nvidias = host.gpus.iter_mut();
                for gpu in nvidias.filter(|gpu| gpu.vendor == GpuVendor::Nvidia) {
                    gpu.kernel_driver.take_if(|driver| driver == "nouveau");
                }
                Cow::Owned(host)
            }
            Self::Macos(version) => {
                let mut host = host.clone();
                host.os.name = format!("macOS {version}");
                host.os.version = version.to_string();
                Cow::Owned(host)
            }
            Self::DeviceAccess => {
                let mut host = host.clone();
                if let Some(amd) = &mut host.amd {
                    amd.kfd_accessible = true;
                    amd.render_accessible = true;
                }
                Cow::Owned(host)
            }
            _ => Cow::Borrowed(host),
        }
    }

    /// The request after the change, for `host`, the machine after the change.
    pub fn request<'r>(&self, request: &Request<'r>, host: &'r Host) -> Request<'r> {
        let mut changed = Request {
            host,
            ..request.clone()
        };
        match self {
            Self::Accelerator(wanted) => changed.accelerator = Some(*wanted),
            Self::Python(python) => changed.python = Some(*python),
            Self::AllowBuild(names) => {
                changed.build.extend(names.iter().cloned());
                changed.only_wheels = false;
            }
            Self::DropOnlyWheels => changed.only_wheels = false,
            Self::ToolVersion(version) => changed.version = Some(exactly(version)),
            Self::Driver(_) | Self::Macos(_) | Self::DeviceAccess | Self::TorchIndexes => {}
        }
        changed
    }
}

/// `==version`.
pub fn exactly(version: &Version) -> VersionSpecifiers {
    pep440_rs::VersionSpecifier::equals_version(version.clone()).into()
}

/// A driver version in its maker's spelling.
mod spelled {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{NvidiaDriver, Version};

    pub fn serialize<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&NvidiaDriver::spelled(version))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn changes_are_plain_json() {
        for (change, json) in [
            (
                Change::Accelerator(AcceleratorRequest::Build(Accelerator::Cpu)),
                r#"{"kind":"accelerator","value":"cpu"}"#,
            ),
            (
                Change::Accelerator("cuda".parse().unwrap()),
                r#"{"kind":"accelerator","value":"cuda"}"#,
            ),
            (Change::DropOnlyWheels, r#"{"kind":"drop-only-wheels"}"#),
            (
                Change::Driver("525.60.13".parse().unwrap()),
                r#"{"kind":"driver","value":"525.60.13"}"#,
            ),
            (
                Change::Driver("580.95.05".parse().unwrap()),
                r#"{"kind":"driver","value":"580.95.05"}"#,
            ),
            (
                Change::Macos("14.0".parse().unwrap()),
                r#"{"kind":"macos","value":"14.0"}"#,
            ),
            (
                Change::AllowBuild(["av".parse().unwrap()].into()),
                r#"{"kind":"allow-build","value":["av"]}"#,
            ),
            (
                Change::ToolVersion("0.9.2".parse().unwrap()),
                r#"{"kind":"tool-version","value":"0.9.2"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&change).unwrap(), json);
            assert_eq!(serde_json::from_str::<Change>(json).unwrap(), change);
        }
    }
}
