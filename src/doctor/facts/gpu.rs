//! Which GPUs the evidence names.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::{
    Known,
    scan::{Scan, pattern},
};
use crate::{
    compat::{gpus, torch::Capability},
    doctor::{evidence::Evidence, text::Origin},
    types::GpuVendor,
};

/// An NVIDIA GPU somebody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvidiaGpu {
    /// As it was named.
    pub name: String,
    /// What it can run, where the name is known.
    pub capability: Option<Capability>,
}

/// An AMD GPU somebody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdGpu {
    /// As it was named; empty where only its target is known.
    pub name: String,
    /// `gfx1100`, where the name is known.
    pub gfx: Option<String>,
    /// Part of a processor.
    pub integrated: bool,
}

/// The GPUs of the evidence.
#[derive(Debug, Default)]
pub struct GpuFacts {
    /// NVIDIA's.
    pub nvidia: Vec<Known<NvidiaGpu>>,
    /// AMD's.
    pub amd: Vec<Known<AmdGpu>>,
    /// A line that names Intel graphics.
    pub intel: Option<String>,
    /// Targets that an AMD build says it has code for.
    pub built_gfx: Vec<String>,
    /// A compute capability that was stated for the GPU itself.
    pub stated_capability: Option<Known<Capability>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[expect(dead_code, reason = "for readers of the file")]
    schema: u32,
    nvidia: Vec<NvidiaSeries>,
    amd: Vec<AmdSeries>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NvidiaSeries {
    name: String,
    capability: Capability,
    /// So short that it means a GPU only where GPUs are spoken of.
    #[serde(default)]
    short: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AmdSeries {
    name: String,
    gfx: String,
    #[serde(default)]
    integrated: bool,
    unless: Option<String>,
}

struct Series<T> {
    name: Regex,
    unless: Option<Regex>,
    says: T,
}

struct Known2 {
    nvidia: Vec<Series<NvidiaSeries>>,
    amd: Vec<Series<AmdSeries>>,
}

fn series(name: &str) -> Regex {
    let text = format!(r"\b(?:{})\b", name.replace(' ', "[ _-]*"));
    RegexBuilder::new(&text)
        .case_insensitive(true)
        .build()
        .unwrap_or_else(|error| unreachable!("gpus.toml: {error}"))
}

static SERIES: LazyLock<Known2> = LazyLock::new(|| {
    let table: Table = toml::from_str(include_str!("../../../manifests/doctor/gpus.toml"))
        .unwrap_or_else(|error| unreachable!("gpus.toml: {error}"));
    Known2 {
        nvidia: table
            .nvidia
            .into_iter()
            .map(|says| Series {
                name: series(&says.name),
                unless: None,
                says,
            })
            .collect(),
        amd: table
            .amd
            .into_iter()
            .map(|says| Series {
                name: series(&says.name),
                unless: says.unless.as_deref().map(series),
                says,
            })
            .collect(),
    }
});

/// The compute capability behind a name, as far as it is known. In running text a name of two
/// characters means nothing by itself.
pub fn nvidia_capability(name: &str, certain: bool) -> Option<Capability> {
    if let Ok(model) = gpus::by_name(name)
        && model.vendor == GpuVendor::Nvidia
    {
        let (major, minor) = model.facts.compute_capability?;
        return Some(Capability(major, minor));
    }
    let mut known = SERIES.nvidia.iter();
    let series = known.find(|s| (certain || !s.says.short) && s.name.is_match(name))?;
    Some(series.says.capability)
}

/// The target behind a name, and whether it is part of a processor.
pub fn amd_gfx(name: &str) -> Option<(String, bool)> {
    // A processor's number may be that of a card as well, and one name of built-in graphics that of
    // several generations.
    let lower = name.to_lowercase();
    let processor =
        lower.contains("ryzen") && !lower.contains("rx ") && !lower.contains("radeon rx");
    if !processor
        && let Ok(model) = gpus::by_name(name)
        && model.vendor == GpuVendor::Amd
    {
        let gfx = model.facts.gfx?;
        let integrated = gpus::is_integrated_gfx(&gfx);
        return Some((gfx, integrated));
    }
    let mut known = SERIES
        .amd
        .iter()
        .filter(|s| s.says.integrated || !processor);
    let series = known.find(|s| {
        s.name.is_match(name)
            && !s
                .unless
                .as_ref()
                .is_some_and(|unless| unless.is_match(name))
    })?;
    Some((series.says.gfx.clone(), series.says.integrated))
}

impl GpuFacts {
    pub(super) fn of(evidence: &Evidence, scan: &Scan<'_>) -> Self {
        let mut facts = Self::default();
        for name in &evidence.nvidia_gpus {
            facts.add_nvidia(name, true, format!("nvidia-smi: {name}"));
        }
        for name in &evidence.amd_gpus {
            facts.add_amd(name, format!("AMD: {name}"));
        }
        if let Some(gfx) = &evidence.amd_gfx {
            facts.add_targets(gfx, |_| format!("AMD: {gfx}"));
        }
        facts.read_names(scan);
        facts.read_targets(scan);
        facts.stated_capability = scan.stated(
            pattern!(
                r"(?i)\b(?:compute[ _]cap(?:ability)?|cuda capability|capability of)\W{0,4}(?:is |of |detected|version)?\W{0,4}(?:sm_?)?([0-9]{1,2})\.?([0-9])\b"
            ),
            |found| Some(Capability(found[1].parse().ok()?, found[2].parse().ok()?)),
        );
        facts.intel = scan
            .all(pattern!(
                r"(?i)\b(?:intel\W{1,4}(?:corporation )?[a-z0-9 \[\]()./-]{0,40}(?:graphics|iris|arc\b|uhd|hd [0-9]{3})|(?:uhd|hd|iris xe?) graphics|\bi915\b|intel gpu|integrated graphics only)"
            ))
            .map(|(_, place)| place.quote())
            .next();
        facts
    }

    fn add_nvidia(&mut self, name: &str, certain: bool, quote: String) {
        let capability = nvidia_capability(name.trim(), certain);
        if !certain && capability.is_none() {
            return;
        }
        let name = name.trim().to_owned();
        if !self.nvidia.iter().any(|gpu| gpu.value.name == name) {
            let value = NvidiaGpu { name, capability };
            self.nvidia.push(Known { value, quote });
        }
    }

    fn add_amd(&mut self, name: &str, quote: String) {
        let (gfx, integrated) = match amd_gfx(name) {
            Some((gfx, integrated)) => (Some(gfx), integrated),
            None => (None, false),
        };
        let name = name.trim().to_owned();
        if !self.amd.iter().any(|gpu| gpu.value.name == name) {
            let value = AmdGpu {
                name,
                gfx,
                integrated,
            };
            self.amd.push(Known { value, quote });
        }
    }

    fn add_targets(&mut self, text: &str, quote: impl Fn(&str) -> String) {
        for found in pattern!(r"\bgfx[0-9]{3,4}[a-f]?\b|\bgfx90[a-f]\b").find_iter(text) {
            let gfx = found.as_str().to_owned();
            if self
                .amd
                .iter()
                .any(|gpu| gpu.value.gfx.as_ref() == Some(&gfx))
            {
                continue;
            }
            let quote = quote(&gfx);
            let value = AmdGpu {
                name: String::new(),
                integrated: gpus::is_integrated_gfx(&gfx),
                gfx: Some(gfx),
            };
            self.amd.push(Known { value, quote });
        }
    }

    /// Names in running text, with enough around them to be sure.
    fn read_names(&mut self, scan: &Scan<'_>) {
        let nvidia = pattern!(
            r"(?i)\b(?:nvidia|geforce|quadro|tesla|rtx|gtx|gt|titan|jetson|dgx|a100|a800|a6000|a40|a10g|h100|h200|h800|h20|b200|b300|gb200|gb10|gh200|l40s?|v100s?|p100|k80|k40[cmt]?|orin|thor|xavier|tx2)(?:[ _-]?[a-z0-9]+){0,4}"
        );
        for (found, place) in scan.all_unwrapped(nvidia) {
            let text = &found[0];
            if pattern!(r"(?i)^nvidia[ _-]?[0-9]{3}(?:[^0-9]|$)").is_match(text) {
                // A release of the driver.
                continue;
            }
            let certain = place.line.origin == Origin::Nvidia
                || ["nvidia", "geforce", "quadro", "tesla", "titan"]
                    .iter()
                    .any(|maker| text.to_lowercase().starts_with(maker));
            // What was named as a list is not named again by the same line.
            if place.line.origin != Origin::Nvidia
                && let Some(capability) = nvidia_capability(text, certain)
                && !self
                    .nvidia
                    .iter()
                    .any(|gpu| gpu.value.capability == Some(capability))
            {
                self.add_nvidia(text, certain, place.quote());
            }
        }
        self.read_short_names(scan);
        let amd = pattern!(
            r"(?i)\b(?:rx|radeon|instinct|mi(?:25|50|60|100|210|250x?|300[ax]?|325x|350x|355x)|vega|ryzen|w[67][0-9]00|r9[67]00|(?:680|780|880|890|610|8060)[ms]|raphael|phoenix|strix|cezanne|renoir)(?:[ _+-]?[a-z0-9]+){0,5}"
        );
        for (found, place) in scan.all_unwrapped(amd) {
            if place.line.origin != Origin::Amd
                && let Some((gfx, _)) = amd_gfx(&found[0])
                && !self
                    .amd
                    .iter()
                    .any(|gpu| gpu.value.gfx.as_ref() == Some(&gfx))
            {
                self.add_amd(&found[0], place.quote());
            }
        }
    }

    /// Names as people shorten them: "my 3080", "a 4070 ti", "6700xt".
    fn read_short_names(&mut self, scan: &Scan<'_>) {
        let nvidia = pattern!(
            r"(?i)\b(?:an?|my|our|one|two|dual|single|have|got|has|gpus?:?|card:?) ([1-5]0[5-9]0(?: ?(?:ti|super))*)\b|\b([1-5]0[5-9]0 ?(?:ti|super))\b"
        );
        for (found, place) in scan.all(nvidia) {
            let Some(short) = found.get(1).or(found.get(2)) else {
                continue;
            };
            let name = short.as_str().to_owned();
            let series = if name.starts_with('1') { "GTX" } else { "RTX" };
            let capability = nvidia_capability(&format!("{series} {name}"), true);
            let is_new = !self.nvidia.iter().any(|g| g.value.capability == capability);
            if capability.is_some() && is_new {
                let value = NvidiaGpu { name, capability };
                let quote = place.quote();
                self.nvidia.push(Known { value, quote });
            }
        }
        for (found, place) in scan.all(pattern!(r"(?i)\bgfx[ _-]([0-9]{4})\b")) {
            self.add_targets(&format!("gfx{}", &found[1]), |_| place.quote());
        }
        let amd = pattern!(r"(?i)\b([5-7][3-9][05]0|90[67]0) ?(xtx|xt|gre)\b");
        for (found, place) in scan.all(amd) {
            let Some((gfx, integrated)) = amd_gfx(&format!("RX {} {}", &found[1], &found[2]))
            else {
                continue;
            };
            let gfx = Some(gfx);
            if !self.amd.iter().any(|g| g.value.gfx == gfx) {
                let value = AmdGpu {
                    name: found[0].to_owned(),
                    gfx,
                    integrated,
                };
                let quote = place.quote();
                self.amd.push(Known { value, quote });
            }
        }
    }

    /// Targets in running text: of the GPU, or, in a list, of a build.
    fn read_targets(&mut self, scan: &Scan<'_>) {
        let list = pattern!(
            r"(?i)\b(?:available|arch(?:itecture)?s?[ _]list|supports?|built for|pytorch_rocm_arch|amdgpu_targets|compiled for|library files|targets?:)[^\n]{0,60}?gfx"
        );
        for (found, place) in scan.all(pattern!(r"[^\n]*\bgfx[0-9a-f]{3,4}[^\n]*")) {
            let (text, line) = (&found[0], place.line);
            let quote = |gfx: &str| line.quote_of(gfx);
            let targets = pattern!(r"\bgfx(?:90[a-f]|[0-9]{3,4})\b");
            let of_build = line.origin != Origin::Amd
                && (targets.find_iter(text).count() >= 4 || list.is_match(text));
            if of_build {
                // `gpu=gfx1010 supported=[gfx1030 …]`: what stands before the list is the GPU.
                let heading = pattern!(
                    r"(?i)\b(?:available|supported|supports?|arch_list|compiled for|built for|targets)[a-z_=:\[\]\x22\x27 ]{0,24}gfx"
                );
                let start = heading.find(text).map_or(0, |found| found.start());
                let (before, rest) = text.split_at(start);
                // What follows the list's bracket is the GPU again.
                let closes = rest.find(']');
                let bracketed = closes.filter(|close| rest[..*close].contains("gfx"));
                let (list, after) = rest.split_at(bracketed.unwrap_or(rest.len()));
                self.add_targets(before, quote);
                self.add_targets(after, quote);
                let listed = targets.find_iter(list).map(|m| m.as_str().to_owned());
                self.built_gfx.extend(listed);
            } else {
                self.add_targets(text, quote);
            }
        }
        self.built_gfx.sort_unstable();
        self.built_gfx.dedup();
    }

    /// Every capability that is known, lowest first.
    pub fn capabilities(&self) -> Vec<Capability> {
        let stated = self.stated_capability.iter().map(|known| known.value);
        let named = self.nvidia.iter().filter_map(|gpu| gpu.value.capability);
        let mut all: Vec<Capability> = named.chain(stated).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether an NVIDIA GPU is named.
    pub fn has_nvidia(&self) -> bool {
        !self.nvidia.is_empty()
    }

    /// Whether an AMD GPU is named.
    pub fn has_amd(&self) -> bool {
        !self.amd.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::text::lines_of;

    #[test]
    fn names_as_people_write_them() {
        for (name, capability) in [
            ("NVIDIA GeForce RTX 5060 Laptop GPU", Capability(12, 0)),
            ("RTX 5070ti", Capability(12, 0)),
            (
                "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
                Capability(12, 0),
            ),
            ("Tesla K40m", Capability(3, 5)),
            ("GeForce GTX 770", Capability(3, 0)),
            ("GeForce GTX 1080 Ti", Capability(6, 1)),
            ("GTX 960M", Capability(5, 0)),
            ("Quadro P2000", Capability(6, 1)),
            ("NVIDIA A10G", Capability(8, 6)),
            ("Tesla P100-PCIE-16GB", Capability(6, 0)),
            ("NVIDIA H100 80GB HBM3", Capability(9, 0)),
            ("NVIDIA L4", Capability(8, 9)),
            ("NVIDIA GB10", Capability(12, 1)),
            ("GTX 1650", Capability(7, 5)),
            ("GeForce 710", Capability(3, 5)),
        ] {
            assert_eq!(nvidia_capability(name, true), Some(capability), "{name}");
        }
        for (name, gfx) in [
            ("Radeon RX 7900 XTX", "gfx1100"),
            ("RX 6700 XT", "gfx1031"),
            ("RX 580", "gfx803"),
            ("RX 5700 XT", "gfx1010"),
            ("RX 570", "gfx803"),
            ("RX 9070", "gfx1201"),
            ("RX 9060 XT", "gfx1200"),
            ("Radeon 890M", "gfx1150"),
            ("Ryzen AI MAX+ 395", "gfx1151"),
            ("Vega 8 (Ryzen 7 5700U)", "gfx90c"),
            ("RX Vega 56", "gfx900"),
            ("Instinct MI100", "gfx908"),
        ] {
            assert_eq!(amd_gfx(name).unwrap().0, gfx, "{name}");
        }
    }

    #[test]
    fn the_series_agree_with_the_models() {
        // Whatever both tables know must be said alike.
        let table = include_str!("../../../manifests/compat/gpus.toml");
        let mut compared = 0;
        for line in table.lines() {
            let field = |name: &str| {
                let rest = line.split_once(&format!("{name} = \""))?.1;
                Some(rest.split('"').next().unwrap_or_default())
            };
            let (Some(name), false) = (field("name"), line.contains("chips")) else {
                continue;
            };
            let full = format!("{} ", name);
            if let Some(expected) = field("compute_capability") {
                let series = SERIES.nvidia.iter().find(|s| s.name.is_match(&full));
                if let Some(series) = series.filter(|_| line.contains("memory_gib")) {
                    assert_eq!(series.says.capability.to_string(), expected, "{name}");
                    compared += 1;
                }
            }
            if let Some(expected) = field("gfx").filter(|_| name.starts_with("Radeon RX")) {
                assert_eq!(amd_gfx(name).unwrap().0, expected, "{name}");
                compared += 1;
            }
        }
        assert!(compared > 100, "{compared}");
    }

    #[test]
    fn running_text_names_gpus() {
        let evidence = Evidence::from_text(
            "my RTX 3060 Ti works, the GTX 1060 does not\nAgent 2: gfx1031 AMD Radeon\n\
             available: gfx900 gfx906 gfx908 gfx1030\n00:02.0 VGA: Intel Corporation HD Graphics 620",
        );
        let lines = lines_of(&evidence);
        let facts = GpuFacts::of(&evidence, &Scan::new(&lines));
        assert_eq!(facts.capabilities(), [Capability(6, 1), Capability(8, 6)]);
        assert_eq!(facts.amd[0].value.gfx.as_deref(), Some("gfx1031"));
        assert_eq!(facts.amd.len(), 1);
        assert_eq!(facts.built_gfx.len(), 4);
        assert!(facts.intel.is_some());
    }
}
