//! What somebody probably meant.

/// A name as it is compared: lower case, runs of `-`, `_` and `.` as one `-` (PEP 503).
pub(super) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in name.trim().chars() {
        match c {
            '-' | '_' | '.' => {
                if !folded.ends_with('-') {
                    folded.push('-');
                }
            }
            c => folded.extend(c.to_lowercase()),
        }
    }
    folded
}

/// How many slips of the hand (insert, delete, replace, swap) a word of this length may have.
pub(super) fn slips_allowed(word: &str) -> usize {
    match word.chars().count() {
        0..=3 => 0,
        4..=7 => 1,
        8..=11 => 2,
        _ => 3,
    }
}

/// The candidate nearest to what was typed, if one is near enough to be worth saying.
pub(super) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = fold(typed);
    // One slip more than in a search: a wrong suggestion costs less than a wrong result.
    let allowed = slips_allowed(&typed) + 1;
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&typed, &fold(candidate)),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count().max(2)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        assert_eq!(fold("Open_WebUI"), "open-webui");
        assert_eq!(fold("a-_.b"), "a-b");
    }

    #[test]
    fn near_and_far() {
        let keys = ["requires", "constraints", "overrides", "build"];
        assert_eq!(nearest("requirs", keys), Some("requires"));
        assert_eq!(nearest("Constraint", keys), Some("constraints"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(
            nearest("min_memory_gb", ["min-memory-gb"]),
            Some("min-memory-gb")
        );
    }
}
