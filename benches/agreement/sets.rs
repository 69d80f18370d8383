//! The requirement sets, read from `sets.toml`, in the forms that the two are given.

use aienv::types::parse_requirement;
use pep508_rs::VersionOrUrl;
use serde::Deserialize;

use super::Result;

/// What the file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sets {
    /// Reasons for differences, by a short key.
    pub reasons: std::collections::BTreeMap<String, String>,
    /// The sets.
    #[serde(rename = "set")]
    pub sets: Vec<Set>,
}

/// Requirements that are resolved together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Name, unique.
    pub name: String,
    /// Minor version of the interpreter, such as `3.12`.
    pub python: String,
    /// PEP 508; the first one is the tool.
    pub requirements: Vec<String>,
    /// Narrow what something needs.
    #[serde(default)]
    pub constraints: Vec<String>,
    /// Replace what anybody says.
    #[serde(default)]
    pub overrides: Vec<String>,
    /// Where the two are known to differ.
    #[serde(default)]
    pub differs: Vec<Declared>,
}

/// A declared difference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Package names, or `prefix*`.
    pub packages: Vec<String>,
    /// Key of the reason.
    pub because: String,
    /// aienv's packages may be older although everything else would go with uv's.
    #[serde(default)]
    pub older: bool,
}

/// All sets; an error names what is wrong with the file.
pub fn read() -> Result<Sets> {
    let sets: Sets = toml::from_str(include_str!("sets.toml"))?;
    let mut seen = std::collections::BTreeSet::new();
    for set in &sets.sets {
        if !seen.insert(&set.name) {
            return Err(format!("two sets are named `{}`", set.name).into());
        }
        for declared in &set.differs {
            if !sets.reasons.contains_key(&declared.because) {
                return Err(format!("{}: no reason `{}`", set.name, declared.because).into());
            }
        }
    }
    Ok(sets)
}

impl Set {
    /// The set as a manifest, with further constraints.
    pub fn manifest(&self, pins: &[String]) -> Result<String> {
        let tool = self.requirements.first().ok_or("a set without a tool")?;
        let others = &self.requirements[1..];
        let tool = parse_requirement(tool)?;
        let version = match &tool.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.to_string(),
            Some(VersionOrUrl::Url(_)) => return Err("a tool by URL is not compared".into()),
            None => String::new(),
        };
        let extras: Vec<String> = tool.extras.iter().map(ToString::to_string).collect();
        let constraints: Vec<&String> = self.constraints.iter().chain(pins).collect();
        Ok(format!(
            "schema = 1\nname = \"set\"\ntitle = \"Set\"\nsummary = \"A set to compare\"\n\
             homepage = \"https://index.example/\"\nlicence = \"MIT\"\ncategory = \"library\"\n\n\
             [source.index]\npackage = {:?}\nextras = {extras:?}\nversion = {version:?}\n\n\
             [packages]\nrequires = {others:?}\nconstraints = {constraints:?}\n\
             overrides = {:?}\n\n\
             [accelerators.cpu]\n\n\
             [commands.set]\nrun = [\"{{python}}\"]\n",
            tool.name.to_string(),
            self.overrides,
        ))
    }

    /// Why a package may differ, if that is declared.
    pub fn declared(&self, package: &str) -> Option<&Declared> {
        self.differs.iter().find(|declared| {
            declared.packages.iter().any(|pattern| {
                pattern
                    .strip_suffix('*')
                    .map_or(pattern == package, |prefix| package.starts_with(prefix))
            })
        })
    }
}
