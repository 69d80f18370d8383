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
    use super::{human_bytes, human_memory};

    #[test]
    fn memory() {
        assert_eq!(human_memory(24 << 30), "24 GiB");
        assert_eq!(human_memory(512 << 20), "512 MiB");
        assert_eq!(human_memory(16_642_998_272), "15.5 GiB");
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
