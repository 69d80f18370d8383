//! Interpreters, environments, and what installers refuse.

use super::{Case, table::table};
use crate::doctor::{
    cause::Cause,
    facts::{Release, pattern, release},
    ledger::Ledger,
};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    wheels(case, ledger);
    interpreter(case, ledger);
    environments(case, ledger);
}

/// Why no wheel fits: the Python, the processor, the C library.
fn wheels(case: &Case<'_>, ledger: &mut Ledger) {
    let python = case.facts.python.version.as_ref();
    let refused = case.saw_any(&[
        "no-matching-wheel",
        "wheel-not-supported",
        "from-versions-none",
        "requires-other-python",
    ]);
    if !refused {
        return;
    }
    let wanted = wanted_torch(case);
    if let (Some(python), Some(torch)) = (python, wanted)
        && let Some(newest) = table().newest_python(torch)
        && python.value > newest
    {
        let why = format!(
            "{} is newer than the wheels of torch {}.{} go ({}.{})",
            python.quote, torch.0, torch.1, newest.0, newest.1
        );
        ledger.add(Cause::NoWheel, 2.4, why);
    }
    tags(case, ledger, python.map(|known| known.value));
    if let Some(narrow) = &case.facts.python.is_32_bit {
        ledger.add(Cause::PythonWrongArchitecture, 2.0, narrow.quote.clone());
        ledger.add(Cause::NoWheel, -2.0, "");
    }
    let new = python.filter(|python| python.value >= (3, 13));
    if let (Some(python), true) = (
        new,
        case.saw_any(&["no-matching-wheel", "from-versions-none"]),
    ) {
        ledger.add(Cause::NoWheel, 1.0, format!("{} is new", python.quote));
    }
    if python.is_some() && case.saw("only-ancient-versions") {
        ledger.add(Cause::NoWheel, 0.3, "");
    }
    // A list of versions that ends where a platform was dropped.
    let dropped_mac = case.passages().any(|text| {
        text.contains("from versions:") && text.contains("2.2.2)") && text.contains("torch")
    });
    if dropped_mac {
        let why = "the list of versions ends with 2.2.2, the last torch for Intel Macs";
        ledger.add(Cause::NoWheel, 2.4, why);
        ledger.fill("package", "'torch<=2.2.2' 'numpy<2'");
    }
    // Tags name the C library: the system's is older than the wheels'.
    let tags = manylinux(case);
    if let (Some(lowest), Some(highest)) = (tags.first(), tags.last())
        && lowest < highest
        && *highest >= 24
        && !case.saw("requires-other-python")
    {
        let why =
            format!("wheels are for glibc 2.{highest}, the system takes those for 2.{lowest}");
        ledger.add(Cause::GlibcTooOld, 4.4, why);
        ledger.add(Cause::NoWheel, -1.0, "");
    }
    // An old C library refuses new wheels.
    let glibc = case.facts.system.glibc.as_ref();
    let needs = wanted
        .and_then(|torch| table().glibc_for(torch))
        .or(Some((2, 28)));
    if let (Some(glibc), Some(needs)) = (glibc, needs)
        && glibc.value < needs
        && !case.saw("requires-other-python")
    {
        let why = format!(
            "{} is older than {}.{}, which new wheels want",
            glibc.quote, needs.0, needs.1
        );
        ledger.add(Cause::GlibcTooOld, 3.4, why);
    }
}

/// The glibc minors of the manylinux tags that are named, ascending.
fn manylinux(case: &Case<'_>) -> Vec<u16> {
    let mut minors: Vec<u16> = Vec::new();
    for line in &case.lines {
        for (place, mark) in line.text.match_indices("manylinux_2_") {
            let rest = &line.text[place + mark.len()..];
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            minors.extend(rest[..end].parse::<u16>());
        }
    }
    minors.sort_unstable();
    minors.dedup();
    minors
}

/// The torch release that an installation asks for.
fn wanted_torch(case: &Case<'_>) -> Option<Release> {
    let asked = case.lines.iter().find_map(|line| {
        let (_, rest) = line.text.split_once("torch==")?;
        release(rest.trim_start_matches('='))
    });
    asked.or_else(|| {
        case.facts
            .cuda
            .torch
            .as_ref()
            .and_then(|torch| torch.release())
    })
}

/// A wheel's own name says whom it is for.
fn tags(case: &Case<'_>, ledger: &mut Ledger, python: Option<Release>) {
    if !case.saw("wheel-not-supported") {
        return;
    }
    for tag in &case.facts.python.wheel_tags {
        let (quote, tag) = (&tag.quote, &tag.value);
        match (tag.python, python) {
            (Some(wants), Some(has)) if wants != has => {
                let why = format!(
                    "{quote} — it is for Python {}.{}, this is {}.{}",
                    wants.0, wants.1, has.0, has.1
                );
                ledger.add(Cause::NoWheel, 2.4, why);
            }
            (Some(_), Some(_)) if tag.platform.contains("manylinux_2_") => {
                let why = format!("{quote} — the Python is right, so the C library is too old");
                ledger.add(Cause::GlibcTooOld, 2.4, why);
            }
            (Some(_), Some(_)) => {
                let why =
                    format!("{quote} — the Python version is right, so its processor type is not");
                ledger.add(Cause::PythonWrongArchitecture, 3.0, why);
            }
            _ => {}
        }
    }
}

/// An interpreter of another architecture than the machine.
fn interpreter(case: &Case<'_>, ledger: &mut Ledger) {
    let system = &case.facts.system;
    let intel_python = case.saw("rosetta");
    if intel_python && case.is_quiet_talk() {
        // Rosetta is a way of running programs that many chose.
        ledger.add(Cause::PythonWrongArchitecture, -2.5, "");
    }
    if let Some(apple) = &system.apple_silicon {
        if intel_python {
            ledger.add(Cause::PythonWrongArchitecture, 2.2, apple.quote.clone());
        }
        if case.saw("intel-mac")
            && case.saw_any(&[
                "no-matching-wheel",
                "wheel-not-supported",
                "mps-not-built",
                "avx-wanted",
                "illegal-instruction",
            ])
        {
            let why = format!("{} — an x86 file or interpreter on it", apple.quote);
            ledger.add(Cause::PythonWrongArchitecture, 2.4, why);
            ledger.add(Cause::NoWheel, -1.2, "");
        }
        if case.saw_any(&["avx-wanted", "illegal-instruction"]) {
            let why = format!(
                "{} has no AVX; only an x86 interpreter would ask for it",
                apple.quote
            );
            ledger.add(Cause::PythonWrongArchitecture, 3.6, why);
            ledger.add(Cause::CpuLacksAvx, -3.5, "");
        }
    }
    if case.facts.python.is_32_bit.is_some() {
        ledger.add(Cause::PythonWrongArchitecture, 0.8, "");
    }
}

/// Which folders packages are taken from, and which they were put into.
fn environments(case: &Case<'_>, ledger: &mut Ledger) {
    use crate::doctor::facts::SiteKind;
    let python = &case.facts.python;
    let user = python.folders(SiteKind::User).count() > 0;
    let own = python.folders(SiteKind::Environment).count();
    let system = python.folders(SiteKind::System).count();
    if user && own > 0 {
        let why = "packages come from the user's folder and from an environment";
        ledger.add(Cause::OutsidePackagesLeakIn, 2.0, why);
    }
    let versions: Vec<Release> = {
        let mut all: Vec<Release> = python
            .site_folders
            .iter()
            .filter_map(|f| f.version)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    if let ([first, .., last], true) = (versions.as_slice(), case.saw("module-not-found")) {
        let why = format!(
            "folders of Python {}.{} and {}.{} are named",
            first.0, first.1, last.0, last.1
        );
        ledger.add(Cause::WrongEnvironment, 1.8, why);
    }
    if case.saw("module-not-found") && case.saw("installed-elsewhere") {
        ledger.add(
            Cause::WrongEnvironment,
            1.8,
            case.quote("installed-elsewhere"),
        );
    }
    if case.saw("module-not-found") && (own > 1 || (own > 0 && system > 0) || conda_base(case)) {
        ledger.add(
            Cause::WrongEnvironment,
            1.4,
            "several environments are named",
        );
    }
    if case.saw("module-not-found") && case.saw("already-satisfied") && found_and_missing(case) {
        let why = case.quote("already-satisfied");
        ledger.add(Cause::WrongEnvironment, 3.0, why);
    }
    if case.saw("module-not-found") && case.saw("python-upgraded") {
        // The folder of an environment's packages carries the number of its Python.
        ledger.add(Cause::VenvBroken, 1.6, case.quote("python-upgraded"));
        ledger.add(Cause::WrongEnvironment, -1.0, "");
    }
    if case.saw("user-site")
        && case.saw_any(&[
            "torchvision-op-missing",
            "torch-symbol-undefined",
            "numpy-abi",
            "framework-floor",
        ])
        && own > 0
    {
        ledger.add(Cause::OutsidePackagesLeakIn, 1.4, case.quote("user-site"));
    }
    if case.saw("interpreter-gone") && case.saw("encodings-missing") {
        ledger.add(Cause::OutsidePackagesLeakIn, -1.5, "");
    }
}

/// Whether pip finds a package that Python does not.
fn found_and_missing(case: &Case<'_>) -> bool {
    let satisfied = pattern!(r"(?i)already satisfied: ([a-z0-9._-]+)");
    let missing = pattern!(r"(?i)no module named .?([a-z0-9_]+)");
    let named = |pattern: &'static regex::Regex| {
        let lines = case.lines.iter();
        lines.filter_map(|line| {
            let name = &pattern.captures(&line.text)?[1];
            Some(name.to_lowercase().replace(['-', '.'], "_"))
        })
    };
    let found: Vec<String> = named(satisfied).collect();
    named(missing).any(|name| found.contains(&name))
}

/// The base of a conda installation is named next to an environment of it.
fn conda_base(case: &Case<'_>) -> bool {
    let text: String = case
        .lines
        .iter()
        .map(|line| line.text.to_lowercase() + "\n")
        .collect();
    text.contains("conda")
        && text.contains("envs/")
        && (text.contains("base") || text.contains("conda3/lib"))
}
