//! Cutting text into words before byte-level BPE merges, by the table in `pre.toml`.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use serde::Deserialize;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// One row of the table, ready to use.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    steps: Vec<Step>,
    /// The options of the row.
    pub options: Options,
}

/// What a kind of pre-tokenizer brings with it; each is explained in `pre.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub(super) struct Options {
    pub ignore_merges: bool,
    pub clean_spaces: bool,
    pub add_bos: bool,
    pub no_bos: bool,
    pub force_bos: bool,
    pub spaces_marked: bool,
    pub raw_bytes: bool,
    pub whole_newlines: bool,
    pub add_sep: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Match { regex: Regex, spaces: Spaces },
    Thousands,
    NumberGroups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Spaces {
    KeepLast,
    Halve,
    #[serde(skip)]
    Apart,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    steps: HashMap<String, StepRow>,
    kinds: Vec<KindRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepRow {
    #[serde(rename = "match")]
    pattern: Option<String>,
    spaces: Option<Spaces>,
    rule: Option<Rule>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rule {
    Thousands,
    NumberGroups,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindRow {
    names: Vec<String>,
    steps: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("pre.toml")).expect("the table of pre-tokenizers is tested")
});

/// The names of all kinds that are known, in the table's order.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.kinds.iter().flat_map(|row| &row.names).map(|n| &**n)
}

impl Splitter {
    /// The splitter for a value of `tokenizer.ggml.pre`; `None` if it is not known.
    pub fn named(name: &str) -> Option<Splitter> {
        let row = TABLE
            .kinds
            .iter()
            .find(|row| row.names.iter().any(|known| known == name))?;
        let steps = row.steps.iter().map(|step| Step::named(step)).collect();
        Some(Splitter {
            steps,
            options: Options::from_row(row),
        })
    }

    /// Calls `word` with each word of `text`, in order; together they are the text.
    pub fn each<'t>(&self, text: &'t str, mut word: impl FnMut(&'t str)) {
        let mut ends = vec![text.len()];
        for step in &self.steps {
            let mut finer = Vec::with_capacity(ends.len() * 2);
            let mut start = 0;
            for &end in &ends {
                if start < end {
                    step.cut(&text[start..end], start, &mut finer);
                }
                start = end;
            }
            ends = finer;
        }
        let mut start = 0;
        for &end in &ends {
            if start < end {
                word(&text[start..end]);
            }
            start = end;
        }
    }
}

impl Options {
    fn from_row(row: &KindRow) -> Options {
        let has = |name: &str| row.options.iter().any(|option| option == name);
        Options {
            ignore_merges: has("ignore-merges"),
            clean_spaces: has("clean-spaces"),
            add_bos: has("add-bos"),
            no_bos: has("no-bos"),
            force_bos: has("force-bos"),
            spaces_marked: has("spaces-marked"),
            raw_bytes: has("raw-bytes"),
            whole_newlines: has("whole-newlines"),
            add_sep: has("add-sep"),
        }
    }
}

impl Step {
    fn named(name: &str) -> Step {
        let row = &TABLE.steps[name];
        match (&row.pattern, row.rule) {
            (_, Some(Rule::Thousands)) => Step::Thousands,
            (_, Some(Rule::NumberGroups)) => Step::NumberGroups,
            (pattern, None) => {
                let pattern = pattern.as_deref().unwrap_or_default();
                let spaces = row.spaces.unwrap_or(Spaces::Apart);
                let mut patterns = vec![pattern];
                if spaces != Spaces::Apart {
                    patterns.push(r"\s+");
                }
                // Text in many scripts needs many states; what does not fit is built again.
                let regex = Regex::builder()
                    .configure(Regex::config().hybrid_cache_capacity(8 << 20))
                    .build_many(&patterns)
                    .expect("the table of pre-tokenizers is tested");
                Step::Match { regex, spaces }
            }
        }
    }

    /// Pushes where the pieces of `text` end, counted from `base` bytes before it.
    fn cut(&self, text: &str, base: usize, ends: &mut Vec<usize>) {
        match self {
            Step::Match { regex, spaces } => cut_matches(regex, *spaces, text, base, ends),
            Step::Thousands => cut_thousands(text, base, ends),
            Step::NumberGroups => cut_number_groups(text, base, ends),
        }
    }
}

fn cut_matches(regex: &Regex, spaces: Spaces, text: &str, base: usize, ends: &mut Vec<usize>) {
    let mut at = 0;
    while at < text.len() {
        let input = Input::new(text).range(at..);
        // Most patterns match wherever they are tried, and an anchored search is the quicker one.
        let found = regex
            .search(&input.clone().anchored(Anchored::Yes))
            .or_else(|| regex.search(&input));
        let Some(found) = found else {
            break;
        };
        let (start, mut end) = (found.start(), found.end());
        if start > at {
            ends.push(base + start);
        }
        if found.pattern().as_usize() == 1 {
            end = start + leading_spaces(&text[start..end], end == text.len(), spaces);
        }
        if end == start {
            // No pattern of the table matches nothing.
            break;
        }
        ends.push(base + end);
        at = end;
    }
    if at < text.len() {
        ends.push(base + text.len());
    }
}

/// How much of a run of white space is one piece, in bytes; `last` if the text ends with it.
fn leading_spaces(run: &str, last: bool, spaces: Spaces) -> usize {
    let count = run.chars().count();
    let free = if last { count } else { count - 1 };
    let take = match spaces {
        Spaces::Halve => [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
            .into_iter()
            .find(|&size| leaves_nothing(size, count, last)),
        Spaces::KeepLast | Spaces::Apart => Some(free),
    };
    let take = take.unwrap_or(1).max(1);
    run.char_indices()
        .nth(take)
        .map_or(run.len(), |(offset, _)| offset)
}

/// Whether `size` white-space characters from the front of a run of `count` are followed by one
/// more, or by the end of the text.
fn leaves_nothing(size: usize, count: usize, last: bool) -> bool {
    size < count || (size == count && last)
}

fn cut_thousands(text: &str, base: usize, ends: &mut Vec<usize>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = at
            + bytes[at..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count();
        ends.extend(
            (at..end)
                .filter(|&cut| cut > 0 && (end - cut).is_multiple_of(3))
                .map(|cut| base + cut),
        );
        at = end;
    }
    ends.push(base + text.len());
}

fn cut_number_groups(text: &str, base: usize, ends: &mut Vec<usize>) {
    let mut numerals: Vec<usize> = Vec::new();
    let mut flush = |numerals: &mut Vec<usize>| {
        let count = numerals.len();
        ends.extend(
            numerals
                .iter()
                .enumerate()
                .filter(|(i, _)| (count - 1 - i).is_multiple_of(3))
                .map(|(_, end)| base + end),
        );
        numerals.clear();
    };
    for (at, c) in text.char_indices() {
        if c.general_category_group() == GeneralCategoryGroup::Number {
            numerals.push(at + c.len_utf8());
        } else {
            flush(&mut numerals);
        }
    }
    flush(&mut numerals);
    if ends.last() != Some(&(base + text.len())) {
        ends.push(base + text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(kind: &str, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let splitter = Splitter::named(kind).unwrap();
        splitter.each(text, |word| words.push(word.to_owned()));
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn every_row_of_the_table_can_be_used() {
        const KNOWN: &[&str] = &[
            "ignore-merges",
            "clean-spaces",
            "add-bos",
            "no-bos",
            "force-bos",
            "spaces-marked",
            "raw-bytes",
            "whole-newlines",
            "add-sep",
        ];
        let mut seen = std::collections::HashSet::new();
        for row in &TABLE.kinds {
            assert!(row.options.iter().all(|option| KNOWN.contains(&&**option)));
        }
        for name in names() {
            assert!(seen.insert(name), "{name} is there twice");
            // Every step of every kind covers any text.
            words(
                name,
                "It's 12345 o’clock,\r\n\t  Ünï 世界 ١٢٣ \u{3000}\u{85}x  \n\n ",
            );
            words(name, "");
        }
        let used: std::collections::HashSet<_> =
            TABLE.kinds.iter().flat_map(|row| &row.steps).collect();
        for (name, row) in &TABLE.steps {
            assert!(used.contains(name), "no kind uses {name}");
            assert!(row.pattern.is_some() != row.rule.is_some(), "{name}");
        }
    }

    #[test]
    fn white_space_stays_with_what_follows_by_its_last_character() {
        assert_eq!(
            words("gpt-2", "a   b\n\nc  "),
            ["a", "  ", " b", "\n", "\n", "c", "  "]
        );
        assert_eq!(
            words("llama-bpe", "a   b\n\nc  "),
            ["a", "  ", " b", "\n\n", "c", "  "]
        );
        let many = format!("{}x", " ".repeat(70));
        let lengths: Vec<usize> = words("jais-2", &many).iter().map(String::len).collect();
        assert_eq!(lengths, [64, 4, 1, 2]);
    }

    #[test]
    fn numbers_are_grouped_as_each_kind_wants() {
        assert_eq!(words("gpt-2", "1234567"), ["1234567"]);
        assert_eq!(words("llama-bpe", "1234567"), ["123", "456", "7"]);
        assert_eq!(words("qwen2", "123"), ["1", "2", "3"]);
        assert_eq!(
            words("superbpe", "a1234567b"),
            ["a", "1", "234", "567", "b"]
        );
        assert_eq!(words("tiny_aya", "a1234567"), ["a", "1", "234", "567"]);
    }

    #[test]
    fn contractions_and_case() {
        assert_eq!(words("gpt-2", "I'll DON'T"), ["I", "'ll", " DON", "'", "T"]);
        assert_eq!(words("llama-bpe", "I'll DON'T"), ["I", "'ll", " DON", "'T"]);
        assert_eq!(words("tekken", "FooBarBAZ"), ["Foo", "Bar", "BAZ"]);
        assert_eq!(words("deepseek-v3", "x=abc.def"), ["x", "=abc", ".def"]);
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        for name in names() {
            let splitter = Splitter::named(name).unwrap();
            for unit in [
                " ", "\n", "a", "A", "1", "'", "é", "漢", "\u{301}", " \n", "aA1 '",
            ] {
                let text = unit.repeat(200_000 / unit.len());
                let mut total = 0;
                splitter.each(&text, |word| total += word.len());
                assert_eq!(total, text.len());
            }
        }
    }
}
