//! ROCm builds, the GPUs they hold kernels for, and overrides that let near relatives run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::source::{Legend, Sources};
use crate::types::{Accelerator, Version};

const DATA: &str = include_str!("../../manifests/compat/rocm.toml");

/// The variable that makes ROCm treat a GPU as another one.
pub const OVERRIDE_VARIABLE: &str = "HSA_OVERRIDE_GFX_VERSION";

/// The table of `manifests/compat/rocm.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RocmFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: Date,
    /// What the source keys stand for.
    pub sources: Legend,
    /// Builds, newest first.
    pub build: Vec<RocmBuild>,
    /// Overrides in use.
    #[serde(rename = "override")]
    pub overrides: Vec<OverrideRow>,
    /// What a process needs on Linux.
    pub needs: Needs,
}

/// A ROCm build and the GPUs it has kernels for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RocmBuild {
    /// `rocm6.4`
    pub build: Accelerator,
    /// `gfx` targets compiled in.
    pub gfx: BTreeSet<String>,
    /// Targets that only builds of this torch release and later ones hold.
    #[serde(default)]
    pub since: BTreeMap<String, Version>,
    /// Those that AMD supports with this ROCm version.
    pub official: BTreeSet<String>,
    /// Where this was read.
    pub source: Sources,
}

impl RocmBuild {
    /// Whether this build of a torch release holds kernels for a GPU.
    pub fn has_code(&self, gfx: &str, torch: &Version) -> bool {
        self.gfx.contains(gfx) && self.since.get(gfx).is_none_or(|since| since <= torch)
    }
}

/// GPUs that run the code of another one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OverrideRow {
    /// Value of the variable: `10.3.0`.
    pub value: String,
    /// The target whose code then runs: `gfx1030`.
    pub target: String,
    /// GPUs that many people run so.
    pub practised: BTreeSet<String>,
    /// GPUs for which it was reported by some, with failures.
    pub tried: BTreeSet<String>,
    /// Where this was read.
    pub source: Sources,
}

/// What a process needs before ROCm can reach a GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Needs {
    /// Device files it opens; the number of the second depends on the machine.
    pub devices: Vec<String>,
    /// Groups whose members may open them.
    pub groups: Vec<String>,
    /// Where this was read.
    pub source: Sources,
}

/// How far an override can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Many people run this GPU so.
    Practised,
    /// Some have tried it; it fails for others.
    Experimental,
}

/// A setting under which a build runs on a GPU that it has no kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Override<'f> {
    /// Value of [`OVERRIDE_VARIABLE`].
    pub value: &'f str,
    /// The target whose kernels then run.
    pub target: &'f str,
    /// How far it can be trusted.
    pub trust: Trust,
}

impl RocmFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<RocmFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            RocmFacts::read(DATA).unwrap_or_else(|error| unreachable!("rocm.toml: {error}"))
        });
        &FACTS
    }

    /// A table from the text of such a file.
    ///
    /// # Errors
    /// The text is not a table of this form.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The row of a build.
    pub fn build(&self, build: Accelerator) -> Option<&RocmBuild> {
        self.build.iter().find(|row| row.build == build)
    }

    /// The override under which a build runs on a GPU; `None` where it needs none, where none is
    /// known, and where the build lacks the relative's kernels too.
    pub fn override_for(&self, gfx: &str, build: Accelerator) -> Option<Override<'_>> {
        let build = self.build(build)?;
        if build.gfx.contains(gfx) {
            return None;
        }
        self.overrides.iter().find_map(|row| {
            let trust = if row.practised.contains(gfx) {
                Trust::Practised
            } else if row.tried.contains(gfx) {
                Trust::Experimental
            } else {
                return None;
            };
            build.gfx.contains(&row.target).then_some(Override {
                value: &row.value,
                target: &row.target,
                trust,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_target_can_come_with_a_later_torch() {
        let facts = RocmFacts::embedded();
        let build = facts.build("rocm7.2".parse().unwrap()).unwrap();
        let has = |gfx: &str, torch: &str| build.has_code(gfx, &torch.parse().unwrap());
        assert!(has("gfx1151", "2.11.0") && has("gfx1103", "2.14.1"));
        assert!(!has("gfx1103", "2.12.1") && !has("gfx1031", "2.14.1"));
    }

    #[test]
    fn overrides_are_for_gpus_that_the_build_lacks() {
        let facts = RocmFacts::embedded();
        let ask = |gfx: &str, build: &str| {
            facts
                .override_for(gfx, build.parse().unwrap())
                .map(|found| (found.value, found.target, found.trust))
        };
        let rdna2 = Some(("10.3.0", "gfx1030", Trust::Practised));
        assert_eq!(ask("gfx1031", "rocm6.4"), rdna2);
        assert_eq!(ask("gfx1030", "rocm6.4"), None, "compiled in");
        assert_eq!(ask("gfx1010", "rocm6.4").unwrap().2, Trust::Experimental);
        assert_eq!(ask("gfx1101", "rocm6.2").unwrap().0, "11.0.0");
        assert_eq!(ask("gfx1101", "rocm6.4"), None, "compiled in since");
        assert_eq!(ask("gfx1103", "rocm6.4").unwrap().2, Trust::Experimental);
        assert_eq!(ask("gfx90c", "rocm7.14"), None, "the relative is gone too");
        assert_eq!(ask("gfx1150", "rocm6.4"), None, "known to fail");
        for unknown in ["gfx803", "gfx1299", ""] {
            assert_eq!(ask(unknown, "rocm6.4"), None, "{unknown}");
        }
        assert_eq!(ask("gfx1031", "rocm99.9"), None, "unknown build");
        assert_eq!(ask("gfx1031", "cu128"), None, "not of ROCm");
    }
}
