//! What is installed.

use super::Result;

/// Requirements that are resolved together.
pub struct Set {
    /// Name on the command line.
    pub name: &'static str,
    /// PEP 508 requirements; the first one is the tool, the others come with it.
    pub requirements: &'static [&'static str],
}

const SETS: [Set; 4] = [
    Set {
        name: "small",
        requirements: &["rembg[cpu,cli]"],
    },
    Set {
        name: "notebook",
        requirements: &["jupyterlab"],
    },
    Set {
        name: "torch",
        requirements: &["transformers", "torch"],
    },
    Set {
        name: "large",
        requirements: &["invokeai"],
    },
];

/// The set of that name.
pub fn by_name(name: &str) -> Result<&'static Set> {
    SETS.iter().find(|set| set.name == name).ok_or_else(|| {
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        format!("`{name}` is not a set; there are {}", names.join(", ")).into()
    })
}

impl Set {
    /// The set as a manifest.
    pub fn manifest(&self) -> String {
        let (tool, others) = (self.requirements[0], &self.requirements[1..]);
        let (package, extras) = match tool.trim_end_matches(']').split_once('[') {
            Some((package, extras)) => (package, extras.split(',').collect()),
            None => (tool, Vec::new()),
        };
        format!(
            "schema = 1\nname = \"bench\"\ntitle = \"Bench\"\nsummary = \"A set to measure with\"\n\
             homepage = \"https://index.example/\"\nlicence = \"MIT\"\ncategory = \"library\"\n\n\
             [source.index]\npackage = {package:?}\nextras = {extras:?}\n\n\
             [packages]\nrequires = {others:?}\n\n\
             [accelerators.cpu]\n\n\
             [commands.bench]\nrun = [\"{{python}}\"]\n"
        )
    }
}
