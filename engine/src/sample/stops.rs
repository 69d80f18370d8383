//! Stop strings, found in text that comes in pieces whose borders they do not keep.

/// Watches for stop strings. What might become one is held back.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    strings: Vec<String>,
    held: String,
    stopped: bool,
}

impl Stops {
    /// Watches for `strings`; empty ones are left out.
    pub fn new(strings: impl IntoIterator<Item = impl Into<String>>) -> Stops {
        Stops {
            strings: strings
                .into_iter()
                .map(Into::into)
                .filter(|s: &String| !s.is_empty())
                .collect(),
            ..Stops::default()
        }
    }

    /// Takes the next piece and returns what is certain now: the text before the first stop string,
    /// or all that cannot belong to one. After a stop string it is always empty.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(piece);
        if let Some(at) = self
            .strings
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min()
        {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = self
            .strings
            .iter()
            .map(|stop| prefix_at_end(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop string has come.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Ends the text and returns what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The length of the longest end of `text` that `stop` begins with.
fn prefix_at_end(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest)
        .rev()
        .find(|&len| {
            let from = text.len() - len;
            text.is_char_boundary(from) && stop.as_bytes().starts_with(&text.as_bytes()[from..])
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stop_string_is_found_over_borders() {
        let mut stops = Stops::new(["\n\nUser:", "END", ""]);
        assert_eq!(stops.push("Hello\n"), "Hello");
        assert_eq!(stops.push("\nUs"), "");
        assert_eq!(stops.push("ual E"), "\n\nUsual ");
        assert_eq!(stops.push("N"), "");
        assert_eq!(stops.push("D more"), "");
        assert!(stops.stopped());
        assert_eq!(stops.push("more"), "");
        assert_eq!(stops.finish(), "");
    }

    #[test]
    fn what_was_held_back_comes_at_the_end() {
        let mut stops = Stops::new(["ab"]);
        assert_eq!(stops.push("xa"), "x");
        assert_eq!(stops.finish(), "a");
    }

    proptest! {
        #[test]
        fn cutting_makes_no_difference(
            text in "[abé]{0,30}", stops in prop::collection::vec("[abé]{1,3}", 0..3), cuts: Vec<u8>,
        ) {
            let first = stops.iter().filter_map(|stop| text.find(stop)).min();
            let expected = &text[..first.unwrap_or(text.len())];
            let mut watch = Stops::new(stops.clone());
            let mut got = String::new();
            let mut rest: Vec<char> = text.chars().rev().collect();
            for cut in cuts.into_iter().chain([255]) {
                let keep = rest.len().saturating_sub(usize::from(cut));
                let piece: String = rest.split_off(keep).into_iter().rev().collect();
                got.push_str(&watch.push(&piece));
            }
            got.push_str(&watch.finish());
            // A stop string that ends later may begin earlier than the first one that is complete.
            if stops.len() < 2 {
                prop_assert_eq!(got, expected);
            } else {
                prop_assert!(text.starts_with(&got));
                prop_assert!(got.len() >= expected.len());
            }
            prop_assert_eq!(watch.stopped(), first.is_some());
        }
    }
}
