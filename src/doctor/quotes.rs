//! Every quotation shows what it is quoted for, in the lines it names.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use serde_json::{Map, Value};

use super::{
    Evidence, diagnose,
    facts::{Facts, Known, Release},
    signals::Signals,
    text::{clean, lines_of},
};

/// The cases of the tests, as they are and as a narrow terminal would break them.
fn cases() -> Vec<(String, Evidence)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor_cases");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let tables: Map<String, Value> = toml::from_str(&text).unwrap();
        for (label, list) in tables {
            for mut table in list.as_array().unwrap().iter().cloned() {
                let id = table.as_object_mut().unwrap().remove("id").unwrap();
                let evidence = Evidence::from_json(&table.to_string()).unwrap();
                let mut broken = evidence.clone();
                broken.log = evidence.log.iter().flat_map(|line| wrapped(line)).collect();
                cases.push((format!("{label}/{id}"), evidence));
                cases.push((format!("{label}/{id}, broken"), broken));
            }
        }
    }
    assert!(cases.len() > 300);
    cases
}

/// A line broken after 60 characters, within words, as terminals do it.
fn wrapped(line: &str) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    let pieces = characters.chunks(60).map(|piece| piece.iter().collect());
    pieces.collect()
}

/// The letters and digits of a text: what breaks and excerpts leave of it.
fn bare(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// Complains of a quotation that lacks what it is quoted for; of something long its beginning.
fn holds(quote: &str, values: &[String], case: &str) {
    let said = bare(quote);
    let is_held = values.iter().any(|value| {
        let start: String = bare(value).chars().take(20).collect();
        said.contains(&start)
    });
    assert!(is_held, "{case}: {values:?} is not in \"{quote}\"");
}

/// The ways to write a release: `12.4`, `124`, `12040`, and where its minor number is 0 `12`.
fn written((major, minor): Release) -> Vec<String> {
    let mut ways = vec![
        format!("{major}{minor}"),
        format!("{}", u32::from(major) * 1000 + u32::from(minor) * 10),
        format!("{major}0{minor}"),
    ];
    if minor == 0 {
        ways.push(major.to_string());
    }
    ways
}

fn releases(facts: &Facts) -> impl Iterator<Item = &Known<Release>> {
    let (cuda, system) = (&facts.cuda, &facts.system);
    let all = [
        &cuda.driver_cuda,
        &cuda.toolkit,
        &cuda.container,
        &cuda.carried,
        &cuda.cudnn,
        &cuda.rocm,
        &facts.python.version,
        &system.macos,
        &system.glibc,
        &facts.libraries.wanted_glibc,
    ];
    all.into_iter().flatten()
}

#[test]
fn a_quoted_line_holds_the_value_of_its_fact() {
    let mut count = 0;
    for (case, evidence) in cases() {
        let facts = Facts::of(&evidence, &lines_of(&evidence));
        let mut check = |quote: &str, values: &[String]| {
            holds(quote, values, &case);
            count += 1;
        };
        for known in releases(&facts) {
            check(&known.quote, &written(known.value));
        }
        if let Some(driver) = &facts.cuda.driver {
            check(&driver.quote, &[driver.value.release()[0].to_string()]);
        }
        if let Some(torch) = &facts.cuda.torch {
            check(&torch.quote, std::slice::from_ref(&torch.said));
            if let Some(cuda) = torch.cuda() {
                check(&torch.quote, &written(cuda));
            }
        }
        for (_, package) in facts.packages.iter() {
            check(&package.quote, std::slice::from_ref(&package.said));
        }
        for gpu in &facts.gpus.nvidia {
            check(&gpu.quote, std::slice::from_ref(&gpu.value.name));
        }
        for gpu in &facts.gpus.amd {
            let gfx = gpu.value.gfx.clone().unwrap_or_default();
            let values = [gpu.value.name.clone(), gfx];
            check(&gpu.quote, &values.map(|value| value.replace(' ', "")));
        }
        for symbol in &facts.libraries.symbols {
            check(&symbol.quote, std::slice::from_ref(&symbol.value.name));
        }
        for library in facts.libraries.missing.iter().chain(&facts.libraries.named) {
            check(&library.quote, std::slice::from_ref(&library.value));
        }
        for tag in &facts.python.wheel_tags {
            check(&tag.quote, std::slice::from_ref(&tag.value.platform));
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn a_quoted_line_holds_the_wording_of_its_signal() {
    let mut count = 0;
    for (case, evidence) in cases() {
        for (signal, seen) in Signals::of(&lines_of(&evidence)).iter() {
            let is_whole = !seen.quote.contains('…');
            if is_whole {
                assert!(
                    signal.is_in(&seen.quote),
                    "{case}: {} is not in \"{}\"",
                    signal.id,
                    seen.quote
                );
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn a_quotation_stands_on_the_lines_it_names() {
    let place = regex::Regex::new(r"log lines? ([0-9]+)(?: to ([0-9]+))?: ").unwrap();
    let mut count = 0;
    for (case, evidence) in cases() {
        let read = |number: usize| -> String {
            let lines = clean::plain_lines(&evidence.log[number - 1]);
            lines.collect::<Vec<_>>().join(" ")
        };
        for finding in diagnose(&evidence, "https://index.example/").findings {
            for reason in &finding.evidence {
                for found in place.captures_iter(reason) {
                    let first: usize = found[1].parse().unwrap();
                    let last = found.get(2).map_or(first, |m| m.as_str().parse().unwrap());
                    let text: String = (first..=last).map(read).collect();
                    let quoted = &reason[found.get(0).unwrap().end()..];
                    // What doctor says of it follows.
                    let quoted = quoted.split([';', '—']).next().unwrap();
                    let quoted: String = bare(quoted).chars().take(12).collect();
                    assert!(bare(&text).contains(&quoted), "{case}: {reason}\n{text}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 500, "{count}");
}
