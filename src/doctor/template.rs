//! Texts with places to fill in, as the tables of causes and remedies write them: `{name|text}` is
//! what is known under that name, or else the text. Braces around anything but a name of small
//! letters belong to the shell, and stay.

/// A text with its places filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) text: String,
    /// Nothing was left open: every place was known, or had another text.
    pub(super) is_complete: bool,
}

/// Fills the places of a text. One that is not known and has no other text stays as it is.
pub(super) fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Filled {
    let mut out = String::with_capacity(text.len());
    let mut is_complete = true;
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 1..];
        let Some((name, otherwise, end)) = place(inner) else {
            out.push('{');
            rest = inner;
            continue;
        };
        match value(name).or_else(|| otherwise.map(str::to_owned)) {
            Some(known) => out.push_str(&known),
            None => {
                is_complete = false;
                out.push_str(&rest[start..start + 2 + end]);
            }
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Filled {
        text: out,
        is_complete,
    }
}

/// The place that begins after a brace: its name, its other text, and where it ends.
fn place(inner: &str) -> Option<(&str, Option<&str>, usize)> {
    let end = inner.find('}')?;
    let (name, otherwise) = match inner[..end].split_once('|') {
        Some((name, otherwise)) => (name, Some(otherwise)),
        None => (&inner[..end], None),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    is_name.then_some((name, otherwise, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let value = |place: &str| (place == "build").then(|| "cu126".to_owned());
        let filled = |text: &str| fill(text, &value).text;
        assert_eq!(filled("a {build|cu1} b"), "a cu126 b");
        assert_eq!(filled("{other|cu1}{none|}"), "cu1");
        assert_eq!(filled("{{json .X}} {unclosed"), "{{json .X}} {unclosed");
        assert_eq!(filled("${HOME} {build}"), "${HOME} cu126");
    }

    #[test]
    fn what_stays_open_is_told() {
        let nothing = |_: &str| None;
        let filled = fill("x {open} y", &nothing);
        assert_eq!(filled.text, "x {open} y");
        assert!(!filled.is_complete);
        for complete in ["x", "{a|b}", "${HOME}", "{{json .X}}", "{unclosed"] {
            assert!(fill(complete, &nothing).is_complete, "{complete}");
        }
    }
}
