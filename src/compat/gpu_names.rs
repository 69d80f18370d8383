//! The GPU a person means by a name: `1080 ti`, `rx6700xt`, `NVIDIA A100-SXM4-40GB`, `M3 Max`.
//!
//! A name is taken apart into what it must agree in (the model), and what may be left off: the
//! maker, the series (`RTX`, `Radeon RX`, `Tesla`), the form of the board (`PCIe`, `SXM`) and the
//! memory. Several models may be left then; they make one answer where they run the same code, with
//! only what they have in common, and no answer otherwise. What is not in the table is never taken
//! for something near it: the error names the nearest, and the person chooses.

use super::{
    apple::AppleFacts,
    gpus::{GpuFacts, GpuTable},
};
use crate::types::GpuVendor;

/// A GPU model as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Who made it.
    pub vendor: GpuVendor,
    /// Marketing name without the maker: `GeForce RTX 3060`.
    pub name: String,
    /// What is known of it.
    pub facts: GpuFacts,
}

/// No model can be told from a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTold {
    /// No model has it; the names that look most like it.
    Unknown(Vec<String>),
    /// Models that run different code have it.
    Several(Vec<String>),
}

/// How many near names an error holds.
const NEAREST: usize = 3;

/// Words that say nothing about the model.
const NOISE: [&str; 14] = [
    "apple",
    "nvidia",
    "geforce",
    "amd",
    "radeon",
    "intel",
    "graphics",
    "gpu",
    "generation",
    "edition",
    "workstation",
    "blackwell",
    "tm",
    "r",
];

/// Names of series that people leave off when one stands first.
const SERIES: [&str; 8] = [
    "rtx", "gtx", "gt", "rx", "arc", "tesla", "quadro", "instinct",
];

/// Forms of one board.
const FORMS: [&str; 8] = ["pcie", "sxm", "sxm2", "sxm3", "sxm4", "sxm5", "nvl", "hbm3"];

/// The model a person means: any case, with or without maker, series, form and memory.
///
/// # Errors
/// No model of the tables has this name, or several that run different code.
pub fn by_name(text: &str) -> Result<Model, NotTold> {
    let wanted = Name::of(text);
    let vendor = maker(text);
    let known: Vec<(Name, Model)> = models()
        .filter(|model| vendor.is_none_or(|vendor| vendor == model.vendor))
        .map(|model| (Name::of(&model.name), model))
        .collect();
    // From the strictest reading to the loosest; the first that finds anything decides.
    let readings: [fn(&Name, &Name, &Model) -> bool; 4] = [
        |wanted, name, _| name.exact == wanted.exact,
        |wanted, name, model| {
            name.is(wanted)
                && name.form == wanted.form
                && wanted.memory_gib == name.memory_gib.or(memory_gib(model))
        },
        |wanted, name, _| {
            name.is(wanted) && name.form == wanted.form && wanted.memory_gib == name.memory_gib
        },
        |wanted, name, model| {
            let memory = name.memory_gib.or(memory_gib(model));
            name.is(wanted)
                && (wanted.form.is_none() || name.form.is_none() || name.form == wanted.form)
                && (wanted.memory_gib.is_none() || memory.is_none() || memory == wanted.memory_gib)
        },
    ];
    for reading in readings {
        let found: Vec<&Model> = known
            .iter()
            .filter(|(name, model)| reading(&wanted, name, model))
            .map(|(_, model)| model)
            .collect();
        if !found.is_empty() {
            return common(&found);
        }
    }
    Err(NotTold::Unknown(nearest(&wanted, &known)))
}

/// Every model of the tables.
fn models() -> impl Iterator<Item = Model> {
    let cards = GpuTable::embedded().models().map(|(vendor, gpu)| Model {
        vendor,
        name: gpu.name.clone(),
        facts: gpu.facts(),
    });
    let apple = AppleFacts::embedded().chip.iter().map(|chip| Model {
        vendor: GpuVendor::Apple,
        name: chip.name.clone(),
        facts: GpuFacts {
            model: Some(chip.name.clone()),
            bandwidth: u32::try_from(chip.bandwidth).ok(),
            integrated: true,
            ..GpuFacts::default()
        },
    });
    cards.chain(apple)
}

fn memory_gib(model: &Model) -> Option<u64> {
    model.facts.memory_bytes.map(|bytes| bytes >> 30)
}

/// Who made it, where the text says so.
fn maker(text: &str) -> Option<GpuVendor> {
    words(text).iter().find_map(|word| match word.as_str() {
        "nvidia" | "geforce" | "quadro" | "tesla" | "jetson" => Some(GpuVendor::Nvidia),
        "amd" | "radeon" | "instinct" => Some(GpuVendor::Amd),
        "intel" | "arc" => Some(GpuVendor::Intel),
        "apple" => Some(GpuVendor::Apple),
        _ => None,
    })
}

/// A name taken apart.
struct Name {
    /// Everything but noise: `a10080gbpcie`.
    exact: String,
    /// The model alone, with its series: `rtx3060ti`. Empty where it says nothing by itself.
    model: String,
    /// The model without a leading series: `3060ti`.
    short: String,
    /// What the name says in parentheses, a second name: `dgxspark`.
    other: Option<String>,
    /// The form of the board: `pcie`.
    form: Option<String>,
    /// Memory in GiB.
    memory_gib: Option<u64>,
}

impl Name {
    fn of(text: &str) -> Self {
        let (plain, other) = match text.split_once('(') {
            Some((plain, rest)) => (plain, Some(meaningful(rest.trim_end_matches(')')).concat())),
            None => (text, None),
        };
        let mut form = None;
        let mut memory_gib = None;
        let mut kept = Vec::new();
        for word in meaningful(plain) {
            if FORMS.contains(&word.as_str()) {
                // Generations of a socket are one form.
                form = Some(if word.starts_with("sxm") {
                    "sxm".to_owned()
                } else {
                    word
                });
            } else if let Some(gib) = size(&word) {
                memory_gib = Some(gib);
            } else {
                kept.push(word);
            }
        }
        let model = kept.concat();
        let short = match kept.split_first() {
            Some((first, rest)) if SERIES.contains(&first.as_str()) => rest.concat(),
            _ => model.clone(),
        };
        // `Arc Graphics (Meteor Lake)` is not what somebody means by `arc`.
        let says = other.is_none() || model.chars().any(|c| c.is_ascii_digit());
        Self {
            exact: meaningful(text).concat(),
            model: if says { model } else { String::new() },
            short: if says { short } else { String::new() },
            other,
            form,
            memory_gib,
        }
    }

    /// Whether this name of the table is the model that was asked for.
    fn is(&self, wanted: &Self) -> bool {
        !wanted.model.is_empty()
            && (self.model == wanted.model
                || self.short == wanted.model
                || self.other.as_ref() == Some(&wanted.model))
    }
}

/// The words of a name in lower case, `Max-Q` and `Mobile` as `laptop`.
fn words(text: &str) -> Vec<String> {
    let text = text
        .to_lowercase()
        .replace("max-q", "laptop")
        .replace("mobile", "laptop");
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        match words.last_mut() {
            // `12 GB` is one word.
            Some(last) if word == "gb" && last.bytes().all(|b| b.is_ascii_digit()) => {
                last.push_str("gb");
            }
            _ if word.is_empty() => {}
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn meaningful(text: &str) -> Vec<String> {
    let mut words = words(text);
    words.retain(|word| !NOISE.contains(&word.as_str()));
    words
}

/// `12gb` as 12.
fn size(word: &str) -> Option<u64> {
    word.strip_suffix("gb")?.parse().ok()
}

/// What several models of one name have in common; their names where they run different code.
fn common(found: &[&Model]) -> Result<Model, NotTold> {
    let first = found[0];
    let code = |model: &Model| {
        let facts = &model.facts;
        (
            model.vendor,
            facts.compute_capability,
            facts.gfx.clone(),
            facts.xpu,
        )
    };
    if found.iter().any(|model| code(model) != code(first)) {
        let names = found.iter().map(|model| told(model));
        return Err(NotTold::Several(names.collect()));
    }
    if found.len() == 1 {
        return Ok(first.clone());
    }
    let same = |of: fn(&GpuFacts) -> Option<u64>| {
        let value = of(&first.facts);
        value.filter(|_| found.iter().all(|model| of(&model.facts) == value))
    };
    let name = family_name(&first.name);
    Ok(Model {
        vendor: first.vendor,
        facts: GpuFacts {
            model: Some(name.clone()),
            memory_bytes: same(|facts| facts.memory_bytes),
            bandwidth: same(|facts| facts.bandwidth.map(u64::from))
                .and_then(|value| u32::try_from(value).ok()),
            ..first.facts.clone()
        },
        name,
    })
}

/// `A100 80GB PCIe` as `A100`.
fn family_name(name: &str) -> String {
    let plain = name.split('(').next().unwrap_or(name);
    let kept: Vec<&str> = plain
        .split_whitespace()
        .filter(|word| {
            let word = word.to_lowercase();
            !FORMS.contains(&word.as_str()) && size(&word).is_none()
        })
        .collect();
    kept.join(" ")
}

/// A model with its maker where the name alone could be another's.
fn told(model: &Model) -> String {
    match model.vendor {
        GpuVendor::Apple => format!("Apple {}", model.name),
        _ => model.name.clone(),
    }
}

/// The names that look most like it.
fn nearest(wanted: &Name, known: &[(Name, Model)]) -> Vec<String> {
    let mut near: Vec<(f64, String)> = known
        .iter()
        .map(|(name, model)| {
            let likeness =
                [&name.exact, &name.short].map(|known| strsim::jaro_winkler(known, &wanted.exact));
            (likeness[0].max(likeness[1]), told(model))
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    near.dedup_by(|a, b| a.1 == b.1);
    near.into_iter()
        .take(NEAREST)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn people_write_names_in_many_ways() {
        for (text, name) in [
            ("RTX 3060", "GeForce RTX 3060"),
            ("rtx3060", "GeForce RTX 3060"),
            ("NVIDIA GeForce RTX 3060", "GeForce RTX 3060"),
            ("1080 ti", "GeForce GTX 1080 Ti"),
            ("1080Ti", "GeForce GTX 1080 Ti"),
            ("rtx 4070 super", "GeForce RTX 4070 SUPER"),
            ("RTX4070SUPER", "GeForce RTX 4070 SUPER"),
            ("rx6700xt", "Radeon RX 6700 XT"),
            ("AMD Radeon RX 7900 XTX", "Radeon RX 7900 XTX"),
            ("vega 64", "Radeon RX Vega 64"),
            ("780m", "Radeon 780M"),
            ("A770", "Arc A770"),
            ("Intel Arc B580", "Arc B580"),
            ("K80", "Tesla K80"),
            ("tesla k40", "Tesla K40"),
            ("Tesla T4", "Tesla T4"),
            ("mi300x", "Instinct MI300X"),
            ("AMD Instinct MI210", "Instinct MI210"),
            ("A6000", "RTX A6000"),
            ("RTX 6000 Ada", "RTX 6000 Ada Generation"),
            ("RTX PRO 6000", "RTX PRO 6000 Blackwell"),
            (
                "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
                "RTX PRO 6000 Blackwell",
            ),
            ("RTX 4090 mobile", "GeForce RTX 4090 Laptop GPU"),
            (
                "NVIDIA GeForce RTX 4090 Laptop GPU",
                "GeForce RTX 4090 Laptop GPU",
            ),
            ("DGX Spark", "GB10 (DGX Spark)"),
            ("gb10", "GB10 (DGX Spark)"),
            ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
            ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
            ("RTX 3060 12GB", "GeForce RTX 3060"),
            ("RTX 3060 8 GB", "GeForce RTX 3060 8GB"),
            ("RTX 3080 12 GB", "GeForce RTX 3080 12GB"),
            ("steam deck", "Steam Deck"),
            ("Radeon VII", "Radeon VII"),
            ("titan v", "TITAN V"),
            ("Jetson Orin NX 16GB", "Jetson Orin NX 16GB"),
            ("UHD Graphics 770", "UHD Graphics 770"),
            ("M1", "M1"),
            ("Apple M3 Ultra", "M3 Ultra"),
        ] {
            let model = by_name(text)
                .map_err(|near| format!("{text}: {near:?}"))
                .unwrap();
            assert_eq!(model.name, name, "{text}");
        }
    }

    #[test]
    fn several_sizes_make_one_answer_with_what_they_share() {
        let a100 = by_name("a100").unwrap();
        assert_eq!(a100.name, "A100");
        assert_eq!(a100.facts.compute_capability, Some((8, 0)));
        assert_eq!(a100.facts.memory_bytes, None);
        let rtx = by_name("RTX 3080").unwrap();
        assert_eq!(
            (rtx.name.as_str(), rtx.facts.memory_bytes),
            ("GeForce RTX 3080", None)
        );
        let h100 = by_name("H100").unwrap();
        assert_eq!(h100.facts.compute_capability, Some((9, 0)));
        assert_eq!(by_name("M3 Max").unwrap().facts.bandwidth, None);
    }

    #[test]
    fn a_stranger_is_never_taken_for_a_neighbour() {
        for text in [
            "RTX 3061",
            "RTX 3060 24GB",
            "GTX 3060",
            "RX 6700 XTX",
            "A771",
            "",
            "nvidia",
            "arc",
            "radeon graphics",
            "8GB",
            "RTX",
            "laptop",
            "(",
            "💥",
        ] {
            assert!(by_name(text).is_err(), "{text}: {:?}", by_name(text));
        }
        let NotTold::Unknown(near) = by_name("RTX 3061").unwrap_err() else {
            panic!("it is nobody's name");
        };
        assert!(near.iter().any(|name| name.contains("3060")), "{near:?}");
        assert_eq!(near.len(), NEAREST);
    }

    #[test]
    fn one_name_for_different_chips_is_asked_back() {
        // A Fermi card and a Polaris card.
        let both = ["GeForce GTX 580", "Radeon RX 580"].map(str::to_owned);
        assert_eq!(by_name("580"), Err(NotTold::Several(both.into())));
        assert_eq!(
            by_name("GTX 580").unwrap().facts.compute_capability,
            Some((2, 0))
        );
        // A whole name goes before one with its series left off.
        assert_eq!(by_name("M4").unwrap().vendor, GpuVendor::Apple);
        assert_eq!(by_name("Tesla M4").unwrap().vendor, GpuVendor::Nvidia);
        assert_eq!(by_name("nvidia m4").unwrap().name, "Tesla M4");
        assert_eq!(by_name("Apple M4").unwrap().vendor, GpuVendor::Apple);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = by_name(&text);
        }

        #[test]
        fn what_is_found_is_in_the_table(index in 0usize..400) {
            let all: Vec<Model> = models().collect();
            let model = &all[index % all.len()];
            let text = if model.vendor == GpuVendor::Apple {
                told(model)
            } else {
                model.name.clone()
            };
            let found = by_name(&text).unwrap();
            proptest::prop_assert_eq!(&found.name, &model.name);
        }
    }
}
