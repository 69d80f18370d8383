//! Which tools a few words mean.
//!
//! Every word must be found somewhere: name, title, tags, category, summary or commands, each with
//! its own weight. A word of four letters or more may have a slip of the hand, at half the weight.
//! Ranking is a sum, ties go by name, so the same words always give the same list.

use super::{
    manifest::Manifest,
    nearest::{fold, slips_allowed},
};

/// The words of one tool with how much each counts.
struct Words(Vec<(String, u32)>);

impl Words {
    fn of(manifest: &Manifest) -> Self {
        let mut words = Vec::new();
        let mut add = |text: &str, weight: u32| {
            for word in split(text) {
                words.push((word, weight));
            }
        };
        add(&manifest.name, 60);
        add(&manifest.title, 50);
        for tag in &manifest.tags {
            add(tag, 40);
        }
        add(manifest.category.name(), 30);
        for command in manifest.commands.keys() {
            add(command, 25);
        }
        add(&manifest.summary, 20);
        // The whole name typed as one word must win over a tool that merely has the words.
        words.push((joined(&manifest.name), 100));
        Self(words)
    }

    /// How well a word fits: the best of all places, 0 when it is nowhere.
    fn score(&self, wanted: &str) -> u32 {
        self.0
            .iter()
            .map(|(word, weight)| {
                if word == wanted {
                    *weight * 2
                } else if word.starts_with(wanted) && wanted.len() >= 2 {
                    weight + weight / 2
                } else if word.contains(wanted) && wanted.len() >= 3 {
                    *weight
                } else if alike(word, wanted) {
                    weight / 2
                } else {
                    0
                }
            })
            .max()
            .unwrap_or(0)
    }
}

fn alike(word: &str, wanted: &str) -> bool {
    let slips = slips_allowed(wanted);
    slips > 0 && strsim::damerau_levenshtein(word, wanted) <= slips
}

/// Lower-case words of letters and digits.
fn split(text: &str) -> impl Iterator<Item = String> {
    let folded = fold(text);
    folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

fn joined(text: &str) -> String {
    split(text).collect()
}

/// The tools that fit all the words, best first.
pub fn search<'a>(
    manifests: impl IntoIterator<Item = &'a Manifest>,
    query: &[String],
) -> Vec<&'a Manifest> {
    let wanted: Vec<String> = query.iter().flat_map(|text| split(text)).collect();
    let together: String = wanted.concat();
    let mut found: Vec<(u32, &Manifest)> = manifests
        .into_iter()
        .filter_map(|manifest| {
            let words = Words::of(manifest);
            // `comfy ui` and `open-webui` are names in another spelling.
            if joined(&manifest.name) == together {
                return Some((u32::MAX, manifest));
            }
            let scores: Option<Vec<u32>> = wanted
                .iter()
                .map(|word| Some(words.score(word)).filter(|score| *score > 0))
                .collect();
            let total = scores?.iter().sum::<u32>();
            (total > 0).then_some((total, manifest))
        })
        .collect();
    found.sort_by(|(a, first), (b, second)| b.cmp(a).then_with(|| first.name.cmp(&second.name)));
    found.into_iter().map(|(_, manifest)| manifest).collect()
}

/// A word of the catalogue near to one that was not found.
pub fn suggest<'a>(
    manifests: impl IntoIterator<Item = &'a Manifest>,
    query: &[String],
) -> Option<String> {
    let mut known: Vec<String> = manifests
        .into_iter()
        .flat_map(|manifest| Words::of(manifest).0)
        .map(|(word, _)| word)
        .filter(|word| word.len() > 3)
        .collect();
    known.sort();
    known.dedup();
    query.iter().flat_map(|text| split(text)).find_map(|word| {
        super::nearest::nearest(&word, known.iter().map(String::as_str)).map(str::to_owned)
    })
}
