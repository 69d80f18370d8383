//! Sizes as people read them.

/// Bytes in decimal units with one decimal place: `999 B`, `1.5 kB`, `5.6 GB`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would print as 1000.0 of the smaller unit.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Bytes from what people write: `6GB`, `512 MiB`, `1.5g`, `100000`. Without an `i`, units are powers
/// of ten.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no size; write something like `6GB`, `512MiB` or `1000000`");
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let (prefix, base) = match unit.strip_suffix("ib") {
        Some(prefix) => (prefix, 1024f64),
        None => (unit.strip_suffix('b').unwrap_or(&unit), 1000.0),
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    let bytes = number * base.powi(power);
    match (0.0..1e18).contains(&bytes) {
        true => Ok(bytes as u64),
        false => Err(wrong()),
    }
}

/// Memory, which is made in powers of two: `24 GiB`, `15.6 GiB`, `512 MiB`.
pub fn human_memory(bytes: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let mebibytes = bytes as f64 / MIB;
    if mebibytes < 1024.0 {
        return format!("{mebibytes:.0} MiB");
    }
    let text = format!("{:.1}", mebibytes / 1024.0);
    format!("{} GiB", text.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::{human_bytes, human_memory, parse_bytes};

    #[test]
    fn memory() {
        assert_eq!(human_memory(24 << 30), "24 GiB");
        assert_eq!(human_memory(512 << 20), "512 MiB");
        assert_eq!(human_memory(16_642_998_272), "15.5 GiB");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("100000", 100_000),
            ("6GB", 6_000_000_000),
            ("1.5g", 1_500_000_000),
            ("512 MiB", 512 << 20),
            ("0", 0),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "6 apples", "-1", "nan", "inf", "1e400"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn units() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_999, "1.0 MB"),
            (5_600_000_000, "5.6 GB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
