//! `RECORD`: the list of a wheel's files with their hashes (the "recording installed projects" and
//! "binary distribution format" specifications).

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::types::Sha256;

/// One row that matters to a check: the hash of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordHash {
    /// SHA-256, the one everybody uses.
    Sha256([u8; 32]),
    /// SHA-384 or SHA-512, which the specification allows as well.
    Longer(LongHash, Vec<u8>),
    /// None, or one the specification does not allow.
    Unusable,
}

/// Allowed hashes other than SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LongHash {
    Sha384,
    Sha512,
}

/// Reads a `RECORD`: path as written → hash. An error says what is wrong with the text.
pub(crate) fn parse(text: &[u8]) -> Result<HashMap<String, RecordHash>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let mut rows = HashMap::new();
    for row in reader.records() {
        let row = row.map_err(|error| error.to_string())?;
        let Some(path) = row.get(0).filter(|path| !path.is_empty()) else {
            continue;
        };
        rows.insert(path.to_owned(), parse_hash(row.get(1).unwrap_or_default()));
    }
    Ok(rows)
}

fn parse_hash(field: &str) -> RecordHash {
    let Some((algorithm, encoded)) = field.split_once('=') else {
        return RecordHash::Unusable;
    };
    // Some tools leave the padding on.
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')) else {
        return RecordHash::Unusable;
    };
    match (algorithm, bytes.len()) {
        ("sha256", 32) => bytes
            .try_into()
            .map_or(RecordHash::Unusable, RecordHash::Sha256),
        ("sha384", 48) => RecordHash::Longer(LongHash::Sha384, bytes),
        ("sha512", 64) => RecordHash::Longer(LongHash::Sha512, bytes),
        _ => RecordHash::Unusable,
    }
}

/// The hash field of a row: `sha256=` and the unpadded URL-safe base64 of the digest.
pub(crate) fn hash_field(digest: &Sha256) -> String {
    format!("sha256={}", URL_SAFE_NO_PAD.encode(digest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip() {
        let digest = Sha256::of("x");
        let text = format!(
            "a.py,{},1\n\"b,c.py\",sha512=AA,2\nd,,\ne.dist-info/RECORD,,\n",
            hash_field(&digest)
        );
        let rows = parse(text.as_bytes()).unwrap();
        assert_eq!(rows["a.py"], RecordHash::Sha256(*digest.as_bytes()));
        assert_eq!(rows["b,c.py"], RecordHash::Unusable);
        assert_eq!(rows["d"], RecordHash::Unusable);
        assert_eq!(rows.len(), 4);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
