//! Which of many regular expressions may match a text, told from words they cannot do without.
//!
//! Thousands of patterns are looked for, and a text has what a few dozen of them need. One pass of
//! Aho and Corasick's automaton finds the words; only patterns whose words are there are compiled
//! and run.

use aho_corasick::{AhoCorasick, BuildError};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

/// A word shorter than this is in every text.
const SHORTEST: usize = 3;

/// The words of a list of expressions.
pub struct Words {
    automaton: AhoCorasick,
    /// Expressions that need each word, by place in the list.
    needed_by: Vec<Vec<usize>>,
    /// Expressions without such words.
    always: Vec<usize>,
    expressions: usize,
}

impl Words {
    /// The words of expressions that are matched without regard to ASCII case.
    ///
    /// # Errors
    /// There are more words than the automaton can hold.
    pub fn of(expressions: &[String]) -> Result<Self, BuildError> {
        let mut words: Vec<Vec<u8>> = Vec::new();
        let mut needed_by = Vec::new();
        let mut always = Vec::new();
        for (place, expression) in expressions.iter().enumerate() {
            let Some(mine) = parse(expression).as_ref().and_then(required) else {
                always.push(place);
                continue;
            };
            for word in mine {
                words.push(word);
                needed_by.push(vec![place]);
            }
        }
        // One entry a word, however many need it.
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by(|a, b| words[*a].cmp(&words[*b]));
        let mut merged: Vec<Vec<u8>> = Vec::new();
        let mut merged_by: Vec<Vec<usize>> = Vec::new();
        for index in order {
            match (merged.last(), merged_by.last_mut()) {
                (Some(last), Some(by)) if *last == words[index] => by.append(&mut needed_by[index]),
                _ => {
                    merged.push(std::mem::take(&mut words[index]));
                    merged_by.push(std::mem::take(&mut needed_by[index]));
                }
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&merged)?;
        Ok(Self {
            automaton,
            needed_by: merged_by,
            always,
            expressions: expressions.len(),
        })
    }

    /// For each expression whether it may match the text. No match is ever ruled out.
    pub fn possible(&self, text: &[u8]) -> Vec<bool> {
        let mut possible = vec![false; self.expressions];
        for place in &self.always {
            possible[*place] = true;
        }
        let mut seen = vec![false; self.needed_by.len()];
        for found in self.automaton.find_overlapping_iter(text) {
            let word = found.pattern().as_usize();
            if !std::mem::replace(&mut seen[word], true) {
                for place in &self.needed_by[word] {
                    possible[*place] = true;
                }
            }
        }
        possible
    }
}

/// The expression as it is written: letters stand for both cases, which the automaton knows.
fn parse(expression: &str) -> Option<Hir> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    parser.parse(expression).ok()
}

/// Words of which every match has at least one; `None` where there are none.
fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            (literal.0.len() >= SHORTEST).then(|| vec![literal.0.to_ascii_lowercase()])
        }
        HirKind::Capture(group) => required(&group.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => required(&repeated.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(|words| {
            // Long words are rare; of equals the fewer.
            let shortest = words.iter().map(Vec::len).min();
            (shortest, std::cmp::Reverse(words.len()))
        }),
        HirKind::Alternation(parts) => {
            let words: Option<Vec<Vec<Vec<u8>>>> = parts.iter().map(required).collect();
            Some(words?.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn words(expression: &str) -> Option<Vec<String>> {
        let words = required(&parse(expression)?)?;
        Some(
            words
                .into_iter()
                .map(|word| String::from_utf8(word).unwrap())
                .collect(),
        )
    }

    #[test]
    fn words_are_those_of_every_match() {
        let some = |list: &[&str]| Some(list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(r"could\s+not\s+SELECT"), some(&["select"]));
        assert_eq!(words("(driver|module) x"), some(&["driver", "module"]));
        assert_eq!(words(r"(cuda )?kernel [0-9]+"), some(&["kernel "]));
        assert_eq!(words("(abc)+"), some(&["abc"]));
        assert_eq!(words("(abcd|x)"), None);
        assert_eq!(words("[a-z]+"), None);
        assert_eq!(words("("), None);
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_ruled_out(
            text in "[a-cA-C ]{0,40}",
            expressions in proptest::collection::vec("[abc]{1,4}(\\(a\\|bc\\)\\?|[ab]c\\+|\\(abc\\|ca\\))?", 1..6),
        ) {
            let possible = Words::of(&expressions).unwrap().possible(text.as_bytes());
            for (expression, possible) in expressions.iter().zip(possible) {
                let regex = regex::bytes::RegexBuilder::new(expression)
                    .case_insensitive(true)
                    .unicode(false)
                    .build()
                    .unwrap();
                prop_assert!(possible || !regex.is_match(text.as_bytes()), "{expression} in {text}");
            }
        }
    }
}
