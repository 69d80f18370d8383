//! Which torch is installed: `torch/version.py`, which its build writes, read and not run.

use std::fs;

use super::Installed;
use crate::types::{Accelerator, Version};

/// A build of torch, or of a companion that writes the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorchBuild {
    /// Version, with the local part that some indexes give it.
    pub version: Version,
    /// CUDA version it was made with: `12.8`.
    pub cuda: Option<Version>,
    /// HIP version it was made with: `6.4.43482-0f2d60242`.
    pub hip: Option<String>,
    /// oneAPI version it was made with.
    pub xpu: Option<String>,
}

impl TorchBuild {
    /// The installed torch.
    pub fn read(installed: &Installed) -> Option<Self> {
        Self::of_package(installed, "torch", "torch")
    }

    /// A package of the family that has a `version.py` like torch's: torchvision, torchaudio.
    pub fn of_package(installed: &Installed, package: &str, module: &str) -> Option<Self> {
        let site = &installed.get(package)?.site;
        Self::parse(&fs::read_to_string(site.join(module).join("version.py")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| -> Option<&str> {
            text.lines().find_map(|line| {
                let rest = line.trim_start().strip_prefix(name)?;
                // `cuda: Optional[str] = '12.8'`
                let (kind, value) = rest.split_once('=')?;
                let is_whole_name = kind.trim().is_empty() || kind.trim_start().starts_with(':');
                let value = value.trim().trim_matches(['\'', '"']);
                (is_whole_name && value != "None").then_some(value)
            })
        };
        Some(Self {
            version: value("__version__")?.parse().ok()?,
            cuda: value("cuda").and_then(|text| text.parse().ok()),
            hip: value("hip").map(str::to_owned),
            xpu: value("xpu").map(str::to_owned),
        })
    }

    /// The build in the spelling of the wheel indexes.
    pub fn accelerator(&self) -> Accelerator {
        let two = |text: &str| {
            let mut numbers = text.split(['.', '-']).map_while(|n| n.parse::<u16>().ok());
            Some((numbers.next()?, numbers.next().unwrap_or(0)))
        };
        if let Some((major, minor)) = self.cuda.as_ref().and_then(|v| two(&v.to_string())) {
            return Accelerator::Cuda(major, minor);
        }
        if let Some((major, minor)) = self.hip.as_deref().and_then(two) {
            return Accelerator::Rocm(major, minor);
        }
        match &self.xpu {
            Some(_) => Accelerator::Xpu,
            None => Accelerator::Cpu,
        }
    }

    /// The build that the local part of the version names, which is all that companions tell;
    /// `None` where it has none, or is a build of somebody's own.
    pub fn local_accelerator(&self) -> Option<Accelerator> {
        let local: Vec<String> = self
            .version
            .local()
            .iter()
            .map(ToString::to_string)
            .collect();
        local.join(".").parse().ok()
    }

    /// Version without its local part.
    pub fn public(&self) -> Version {
        self.version.clone().without_local()
    }

    /// What to call it: `torch 2.9.1 for CUDA 12.8`.
    pub fn spelled(&self, name: &str) -> String {
        let version = self.public();
        match self.accelerator() {
            Accelerator::Cuda(major, minor) => format!("{name} {version} for CUDA {major}.{minor}"),
            Accelerator::Rocm(major, minor) => format!("{name} {version} for ROCm {major}.{minor}"),
            Accelerator::Xpu => format!("{name} {version} for Intel GPUs"),
            _ => format!("{name} {version} without GPU support"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn builds_are_told_by_their_version_file() {
        let file = |cuda: &str, hip: &str| {
            format!(
                "from typing import Optional\n\n__all__ = ['__version__', 'debug', 'cuda']\n\
                 __version__ = '2.9.1+x'\ndebug = False\ncuda: Optional[str] = {cuda}\n\
                 git_version = 'abc'\nhip: Optional[str] = {hip}\nxpu: Optional[str] = None\n"
            )
        };
        let build = TorchBuild::parse(&file("'12.8'", "None")).unwrap();
        assert_eq!(build.accelerator(), Accelerator::Cuda(12, 8));
        assert_eq!(build.public().to_string(), "2.9.1");
        let build = TorchBuild::parse(&file("None", "'6.4.43482-0f2d60242'")).unwrap();
        assert_eq!(build.accelerator(), Accelerator::Rocm(6, 4));
        let build = TorchBuild::parse(&file("None", "None")).unwrap();
        assert_eq!(build.accelerator(), Accelerator::Cpu);
        // Older ones have no annotations.
        let build = TorchBuild::parse("__version__ = '1.12.1'\ncuda = '11.3'\n").unwrap();
        assert_eq!(build.accelerator(), Accelerator::Cuda(11, 3));
        // torchvision computes `cuda`, and tells its build by its version.
        let text = "__version__ = '0.24.1+rocm6.4'\nif f() > 0:\n    cuda = f()\n";
        let build = TorchBuild::parse(text).unwrap();
        assert_eq!(build.local_accelerator(), Some(Accelerator::Rocm(6, 4)));
        assert_eq!(build.cuda, None);
        assert!(TorchBuild::parse("version = 1").is_none());
    }
}
