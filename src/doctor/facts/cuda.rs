//! CUDA: what the driver supports and what the programs want.

use regex::Captures;

use super::{
    Known, Packages, Release, numbers, release,
    scan::{Scan, pattern},
};
use crate::{
    compat::torch::TorchFacts,
    doctor::evidence::Evidence,
    types::{Accelerator, Version},
};

/// Driver, toolkit, builds.
#[derive(Debug, Default)]
pub struct CudaFacts {
    /// Version of the NVIDIA driver.
    pub driver: Option<Known<Version>>,
    /// CUDA version the driver supports.
    pub driver_cuda: Option<Known<Release>>,
    /// Installed toolkit.
    pub toolkit: Option<Known<Release>>,
    /// CUDA version of the container's image.
    pub container: Option<Known<Release>>,
    /// CUDA version some other program was built for.
    pub carried: Option<Known<Release>>,
    /// CUDA version of a package index that something was installed from.
    pub index: Option<Known<Release>>,
    /// CUDA and cuDNN majors that onnxruntime says it requires.
    pub required: Option<Known<(u16, u16)>>,
    /// Installed cuDNN.
    pub cudnn: Option<Known<Release>>,
    /// Version of ROCm.
    pub rocm: Option<Known<Release>>,
    /// The torch build.
    pub torch: Option<TorchBuild>,
}

/// The torch that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorchBuild {
    /// Its version, without the local label.
    pub version: Option<Version>,
    /// What it was built for, where that is said.
    pub build: Option<Accelerator>,
    /// What was said.
    pub said: String,
    /// The line, for a person.
    pub quote: String,
}

impl TorchBuild {
    /// Release as `(2, 9)`.
    pub fn release(&self) -> Option<Release> {
        let release = self.version.as_ref()?.release();
        let number = |place: usize| u16::try_from(*release.get(place)?).ok();
        Some((number(0)?, number(1).unwrap_or(0)))
    }

    /// CUDA version of the build.
    pub fn cuda(&self) -> Option<Release> {
        match self.build? {
            Accelerator::Cuda(major, minor) => Some((major, minor)),
            _ => None,
        }
    }

    /// CUDA version, or that of the build the Python package index has of this release.
    pub fn likely_cuda(&self) -> Option<Release> {
        if self.build.is_some() {
            return self.cuda();
        }
        let (major, minor) = self.release()?;
        let named = format!("{major}.{minor}");
        let known = TorchFacts::embedded().torch.iter();
        let known = known.filter(|known| known.release.to_string() == named);
        known
            .filter_map(|known| release(&known.default_cuda()?.to_string()))
            .next()
    }

    /// Whether it is said to be a build without GPU support.
    pub fn is_cpu(&self) -> bool {
        self.build == Some(Accelerator::Cpu)
    }
}

impl CudaFacts {
    pub(super) fn of(evidence: &Evidence, scan: &Scan<'_>, packages: &Packages) -> Self {
        let mut facts = Self {
            driver: structured(&evidence.nvidia_driver, "driver", first_version),
            driver_cuda: structured(&evidence.nvidia_cuda, "CUDA", release),
            rocm: structured(&evidence.amd_rocm, "ROCm", release),
            ..Self::default()
        };
        facts.read_driver(scan);
        facts.read_toolkits(scan);
        facts.rocm = facts.rocm.take().or_else(|| {
            scan.first(
                pattern!(
                    r"(?i)\b(?:rocm|hip)(?: version)?[ :/_-]{0,3}v?([4-9]\.[0-9]+|10\.[0-9]+)"
                ),
                |found| release(&found[1]),
            )
        });
        facts.torch = torch(scan, packages);
        facts
    }

    fn read_driver(&mut self, scan: &Scan<'_>) {
        let version = |found: &Captures<'_>| first_version(&found[1]);
        if self.driver.is_none() {
            let after = pattern!(
                r"(?i)\b(?:(?:nvidia )?driver(?: version)?|nvidia-smi|kernel module(?: version)?(?: is)?|nvidia-(?:driver|dkms|open)-)[ :=v_-]{0,6}([2-6][0-9]{2}(?:\.[0-9]{1,3}){1,2}|[3-6][0-9]{2})\b"
            );
            let before = pattern!(
                r"(?i)\b([2-6][0-9]{2}\.[0-9.]*[0-9]) nvidia (?:linux )?(?:graphics )?driver"
            );
            let package = pattern!(
                r"(?i)\b(?:a?kmod-nvidia|nvidia(?:-(?:open|lts|dkms|utils))*)(?:-dkms)?[ :=-]{1,2}([3-9][0-9]{2}\.[0-9]{2,3}(?:\.[0-9]{1,2})?)\b"
            );
            // The driver's libraries carry its version in their names.
            let file = pattern!(
                r"\blib(?:cuda|nvidia-[a-z-]+|nvcuvid)\.so\.([2-9][0-9]{2}\.[0-9]{2,3}(?:\.[0-9]{1,2})?)\b"
            );
            let named = scan.stated(after, version);
            self.driver = named
                .or_else(|| scan.first(before, version))
                .or_else(|| scan.stated(package, version))
                .or_else(|| scan.first(file, version));
        }
        if self.driver_cuda.is_none() {
            let number = pattern!(r"(?i)\bfound (?:cuda )?version:? ([0-9]{4,5})\b");
            let table =
                pattern!(r"(?i)Driver Version: ?[0-9.]+ +CUDA (?:UMD )?Version: ?([0-9]+\.[0-9]+)");
            let found = scan.first(number, |found| {
                let number: u16 = found[1].parse().ok()?;
                Some((number / 1000, number % 1000 / 10))
            });
            self.driver_cuda = found.or_else(|| scan.first(table, |found| release(&found[1])));
        }
    }

    fn read_toolkits(&mut self, scan: &Scan<'_>) {
        let release = |found: &Captures<'_>| release(&found[1]);
        let toolkit = pattern!(
            r"(?im)(?:\bcuda[ _-]?toolkit(?: version)?|\bnvcc(?: version)?|\bsystem cuda|\bcuda_home|\bcuda[ _]sdk|cuda compilation tools, release|^(?:[a-z_ ]+_)?toolkit:|^cuda(?:_version|_runtime)?: ?)[^0-9\n]{0,24}([0-9]{1,2}\.[0-9])"
        );
        let folder = pattern!(r"(?i)/cuda-([0-9]{1,2}\.[0-9])\b");
        let installed = pattern!(
            r"(?i)\b(?:install(?:ed)?|have|has|with|on|my|is) cuda ?([0-9]{1,2}\.[0-9])\b"
        );
        let named = pattern!(r"(?i)\bcuda ?([0-9]{1,2}\.[0-9])[0-9.]* toolkit\b");
        // A line of the loader's cache.
        let cached = pattern!(r"\) => /\S*/libcudart\.so\.([0-9]{1,2}\.[0-9])\b");
        self.toolkit = scan
            .stated(toolkit, release)
            .or_else(|| scan.stated(named, release))
            .or_else(|| scan.first(folder, release))
            .or_else(|| scan.stated(installed, release))
            .or_else(|| scan.first(cached, release));
        self.container = scan.first(
            pattern!(
                r"(?i)(?:\bcontainer_cuda\W{1,3}|\bcuda[:/](?:cuda:)?|\bimage[^\n]{0,60}cuda[:_-]?)([0-9]{1,2}\.[0-9])"
            ),
            release,
        );
        self.carried = scan.first(
            pattern!(
                r"(?i)(?:\bcupy-cuda|\bxla_cuda|\bcuda ?|\bcu)(1[0-9](?:\.[0-9])?)(?:x\b|[ _-]?(?:plugin|build|binar|wheel|image|version of|backend|runner))|\b(?:built|compiled) (?:with|for|against) (?:cuda|cu) ?(1[0-9](?:\.[0-9])?)"
            ),
            |found| super::release(found.get(1).or(found.get(2))?.as_str()),
        );
        self.index = scan.first(
            pattern!(r"(?i)https?://\S+/(?:whl|wheels?|simple|[0-9.]+)/(?:\S*/)?cu([0-9]{3})\b"),
            |found| match format!("cu{}", &found[1]).parse() {
                Ok(Accelerator::Cuda(major, minor)) => Some((major, minor)),
                _ => None,
            },
        );
        self.required = scan.first(
            pattern!(r"(?i)\brequires? cudnn ([0-9]+)[.*0-9]* and cuda ([0-9]+)"),
            |found| Some((found[2].parse().ok()?, found[1].parse().ok()?)),
        );
        let cudnn = pattern!(
            r"(?i)\bcudnn(?:[ _-]?(?:version|v|installed))?[ :=_-]{1,3}v?([5-9](?:\.[0-9]+)*|[89]0?[0-9]{2,3})\b"
        );
        self.cudnn = scan.stated(cudnn, |found| {
            let (major, minor) = super::release(&found[1])?;
            // `8902` and `90100` are ways to write 8.9.2 and 9.1.0.
            Some(match major {
                10_000.. => (major / 10_000, major % 10_000 / 100),
                1000.. => (major / 1000, major % 1000 / 100),
                _ => (major, minor),
            })
        });
    }

    /// The CUDA version that the failing program carries, as far as it is known, with what says so.
    pub fn wanted(&self) -> Option<Known<Release>> {
        let of_torch = self.torch.as_ref().and_then(|torch| {
            let value = torch.cuda()?;
            Some(Known {
                value,
                quote: torch.quote.clone(),
            })
        });
        of_torch
            .or_else(|| self.container.clone())
            .or_else(|| self.carried.clone())
    }
}

fn structured<T>(
    field: &Option<String>,
    name: &str,
    mean: impl Fn(&str) -> Option<T>,
) -> Option<Known<T>> {
    let text = field.as_deref()?;
    Some(Known {
        value: mean(text)?,
        quote: format!("{name} {text}"),
    })
}

fn first_version(text: &str) -> Option<Version> {
    let numbers: Vec<u64> = numbers(text).map(u64::from).collect();
    (!numbers.is_empty()).then(|| Version::new(numbers))
}

/// The torch build: from its version's label, else from what is said beside it.
fn torch(scan: &Scan<'_>, packages: &Packages) -> Option<TorchBuild> {
    let stated = scan.first(
        pattern!(
            r"(?i)(?:torch\.version\.cuda|cuda used to build pytorch|torch[_ ]cuda|built with cuda|torch build)\W{1,6}(none|not available|n/a|could not collect|[0-9]{1,2}\.[0-9])"
        ),
        |found| match release(&found[1]) {
            Some((major, minor)) => Some(Accelerator::Cuda(major, minor)),
            None if found[1].eq_ignore_ascii_case("none") => Some(Accelerator::Cpu),
            None => None,
        },
    );
    let Some(package) = packages.get("torch") else {
        // A label alone tells the build, though not whose it is.
        let labelled = scan.first(
            pattern!(r"\btorch[^\n]{0,40}\+(cu[0-9]{2,3}|cpu|rocm[0-9.]+[0-9])"),
            |found| found[1].parse::<Accelerator>().ok(),
        );
        let known = stated.or(labelled)?;
        return Some(TorchBuild {
            version: None,
            build: Some(known.value),
            said: String::new(),
            quote: known.quote,
        });
    };
    // A label on another mention of the same version counts as well.
    let labelled = packages.all("torch").iter().find_map(|p| {
        Some(Known {
            value: label(&p.said)?,
            quote: p.quote.clone(),
        })
    });
    let stated = stated.filter(|known| known.value != Accelerator::Cpu || labelled.is_none());
    let elsewhere = stated.or(labelled);
    let (build, quote) = match (label(&package.said), elsewhere) {
        (Some(build), _) => (Some(build), package.quote.clone()),
        (None, Some(known)) if known.quote == package.quote => (Some(known.value), known.quote),
        (None, Some(known)) => {
            let quote = format!("{}; {}", package.quote, known.quote);
            (Some(known.value), quote)
        }
        (None, None) => (None, package.quote.clone()),
    };
    Some(TorchBuild {
        version: package.version.clone(),
        build,
        said: package.said.clone(),
        quote,
    })
}

/// The build named in what is said of a version: `2.9.0+cu128`, `1.3 (CUDA 10.1)`, `py3.9_cpu_0`.
fn label(said: &str) -> Option<Accelerator> {
    let found = pattern!(
        r"(?i)\b(?:cu(?:da)?[ _-]?([0-9]{1,2}\.[0-9])|cu([0-9]{2,3})|rocm ?([0-9]\.[0-9]+|10\.[0-9]+)|(cpu)(?:only)?)|_(?:cuda|cu)?(?:(cpu)|([0-9]{3}))_|\((cpu)\b|cuda([0-9]{1,2}\.[0-9])"
    )
    .captures(said)?;
    let group = |place: usize| found.get(place).map(|m| m.as_str());
    if let Some(text) = group(1).or(group(8)) {
        let (major, minor) = release(text)?;
        return Some(Accelerator::Cuda(major, minor));
    }
    if let Some(digits) = group(2).or(group(6)) {
        return format!("cu{digits}").parse().ok();
    }
    if let Some(text) = group(3) {
        let (major, minor) = release(text)?;
        return Some(Accelerator::Rocm(major, minor));
    }
    Some(Accelerator::Cpu)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::text::lines_of;

    #[test]
    fn labels_of_builds() {
        for (said, build) in [
            ("2.9.0+cu128", Some(Accelerator::Cuda(12, 8))),
            ("2.1.2+cpu", Some(Accelerator::Cpu)),
            ("1.3 (CUDA 10.1)", Some(Accelerator::Cuda(10, 1))),
            ("2.12.0.dev20260408+rocm7.2", Some(Accelerator::Rocm(7, 2))),
            ("1.4.0 (py3.7_cpu_0)", Some(Accelerator::Cpu)),
            (
                "1.12.1 py3.9_cuda11.3_cudnn8_0",
                Some(Accelerator::Cuda(11, 3)),
            ),
            ("2.6.0", None),
        ] {
            assert_eq!(label(said), build, "{said}");
        }
    }

    #[test]
    fn an_nvidia_smi_and_a_torch_are_read() {
        let evidence = Evidence::from_text(
            "| NVIDIA-SMI 470.57.02    Driver Version: 470.57.02    CUDA Version: 11.4     |\n\
             torch                    2.9.1+cu128\nlibcudnn8 here, cuDNN version: 8902\n\
             Cuda compilation tools, release 11.8, V11.8.89",
        );
        let lines = lines_of(&evidence);
        let scan = Scan::new(&lines);
        let packages = Packages::of(&evidence, &scan);
        let cuda = CudaFacts::of(&evidence, &scan, &packages);
        assert_eq!(cuda.driver.unwrap().value.to_string(), "470.57.2");
        assert_eq!(cuda.driver_cuda.unwrap().value, (11, 4));
        assert_eq!(cuda.toolkit.unwrap().value, (11, 8));
        assert_eq!(cuda.cudnn.unwrap().value, (8, 9));
        let torch = cuda.torch.unwrap();
        assert_eq!(torch.release(), Some((2, 9)));
        assert_eq!(torch.cuda(), Some((12, 8)));
    }

    #[test]
    fn the_found_version_is_the_drivers() {
        let evidence = Evidence::from_text("driver is too old (found version 11040)");
        let lines = lines_of(&evidence);
        let scan = Scan::new(&lines);
        let cuda = CudaFacts::of(&evidence, &scan, &Packages::default());
        assert_eq!(cuda.driver_cuda.unwrap().value, (11, 4));
    }
}
