//! The resolver against trying everything, on small random universes.
//!
//! `PROPTEST_CASES=20000 cargo test --test brute_force` looks further.
#![allow(clippy::unwrap_used)]

#[path = "support/universe.rs"]
mod universe;

use aienv::{solve::HostFact, types::PackageName};
use proptest::prelude::*;
use universe::{Found, Mention, Universe};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.as_slice())
}

/// One of the rare choices, or most of the time nothing.
fn seldom<T: Clone + std::fmt::Debug + Default + 'static>(
    share: f64,
    choices: Vec<T>,
) -> impl Strategy<Value = T> {
    prop::option::weighted(share, prop::sample::select(choices)).prop_map(Option::unwrap_or_default)
}

/// A random requirement on one of the packages.
fn requirement() -> impl Strategy<Value = String> {
    let bounds = vec![
        ">=2", "<3", "==2", "!=3", ">=2,<4", "<=1", "==3", "~=2.0", "==2.*", ">=2rc1", "==3rc1",
    ];
    let markers = vec![
        "; python_version < '3.12'",
        "; python_version >= '3.12'",
        "; sys_platform == 'win32'",
    ];
    let extras = vec!["[x]", "[y]", "[x,y]"];
    (
        name(),
        seldom(0.25, extras),
        seldom(0.45, bounds),
        seldom(0.2, markers),
    )
        .prop_map(|(n, x, b, m)| format!("{n}{x}{b}{m}"))
}

/// A requirement that belongs to an extra.
fn of_extra() -> impl Strategy<Value = String> {
    (requirement(), prop::sample::select(vec!["x", "y"])).prop_map(|(requirement, extra)| {
        let (bare, marker) = requirement.split_once(';').unwrap_or((&requirement, ""));
        let marker = if marker.is_empty() {
            String::new()
        } else {
            format!(" and{marker}")
        };
        format!("{bare}; extra == '{extra}'{marker}")
    })
}

/// One release: what it needs, which Python, which wheels, a pre-release, withdrawn.
#[derive(Clone, Debug)]
struct Release {
    needs: Vec<String>,
    python: &'static str,
    wheels: Vec<&'static str>,
    prerelease: bool,
    yanked: bool,
}

fn release() -> impl Strategy<Value = Release> {
    let needs = (
        prop::collection::vec(requirement(), 0..=2),
        prop::collection::vec(of_extra(), 0..=2),
    );
    let python = seldom(0.15, vec!["<3.12", ">=3.12"]);
    // None: a source distribution, which may be built.
    let wheels = prop::option::weighted(
        0.7,
        prop::sample::select(vec![
            vec!["py3-none-any"],
            vec!["py3-none-any"],
            vec!["py3-none-any"],
            vec!["py3-none-any", "cp312-cp312-manylinux_2_17_x86_64"],
            vec!["cp312-cp312-manylinux_2_17_x86_64"],
            vec!["cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-win_amd64"],
            vec!["cp312-cp312-win_amd64"],
        ]),
    )
    .prop_map(Option::unwrap_or_default);
    let (prerelease, yanked) = (prop::bool::weighted(0.15), prop::bool::weighted(0.1));
    (needs, python, wheels, prerelease, yanked).prop_map(
        |((base, extra), python, wheels, prerelease, yanked)| Release {
            needs: base.into_iter().chain(extra).collect(),
            python,
            wheels,
            prerelease,
            yanked,
        },
    )
}

/// A random universe of five packages with up to three versions each.
fn universe() -> impl Strategy<Value = Universe> {
    let releases = prop_oneof![
        1 => prop::collection::vec(release(), 0..=1),
        9 => prop::collection::vec(release(), 2..=3),
    ];
    let packages = prop::collection::vec(releases, NAMES.len());
    (packages, prop::bool::weighted(0.1)).prop_map(|(packages, only_wheels)| {
        let mut world = Universe::default();
        for (name, releases) in NAMES.iter().zip(packages) {
            for (number, release) in releases.into_iter().enumerate() {
                let number = number + 1;
                let version = match release.prerelease {
                    true => format!("{number}rc1"),
                    false => number.to_string(),
                };
                world.release(name, &version, &release.needs, release.python);
                for tag in release.wheels {
                    world.wheel(name, &version, tag);
                }
                if release.yanked {
                    world.yank(name, &version);
                }
            }
        }
        let world = world.pythons(&["3.12.1", "3.11.7"]);
        match only_wheels {
            true => world.only_wheels(),
            false => world,
        }
    })
}

/// Some versions of a package.
fn some_versions() -> impl Strategy<Value = (&'static str, &'static str)> {
    let versions = prop::sample::select(vec!["", ">=2", "<2", "==1", "!=2"]);
    (name(), versions)
}

/// A random universe whose packages need things of a random host, must agree with each other, and
/// forget requirements, asked for with constraints and overrides.
fn world() -> impl Strategy<Value = Universe> {
    let values = prop::sample::select(vec!["x", "y", "z", "x|y", "y|z"]);
    let members = prop::collection::vec((some_versions(), values), 0..=2);
    let wanted = prop::sample::select(vec![">=2", "<2", "==2", "!=1"]);
    let host_needs = prop::collection::vec((some_versions(), wanted), 0..=1);
    let forgotten = prop::collection::vec((some_versions(), requirement()), 0..2);
    let host = prop::option::of(prop::sample::select(vec!["1", "2", "3"]));
    let facts = (members, host_needs, forgotten, host);
    let constraints = prop::collection::vec(requirement(), 0..2);
    let overrides = prop::option::weighted(0.3, requirement());
    let prereleases = prop::collection::vec(name(), 0..2);
    (universe(), facts, constraints, overrides, prereleases).prop_map(
        |(mut world, (members, host_needs, forgotten, host), constraints, overrides, allowed)| {
            if let Some(version) = host {
                world = world.host(HostFact::NvidiaDriver, version);
            }
            for ((name, versions), value) in members {
                world = world.agree("alike", name, versions, value);
            }
            for ((name, versions), wanted) in host_needs {
                world = world.host_need(name, versions, HostFact::NvidiaDriver, wanted);
            }
            for ((name, versions), requirement) in forgotten {
                world = world.undeclared(name, versions, &requirement);
            }
            // A constraint does not ask for extras.
            let bare = |text: &String| {
                text.replace("[x]", "")
                    .replace("[y]", "")
                    .replace("[x,y]", "")
            };
            let constraints: Vec<String> = constraints.iter().map(bare).collect();
            let constraints: Vec<&str> = constraints.iter().map(String::as_str).collect();
            let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
            world
                .constraints(&constraints)
                .overrides(&overrides)
                .prereleases(&allowed)
        },
    )
}

/// Four hundred universes, or as many as `PROPTEST_CASES` says.
fn cases() -> ProptestConfig {
    let set = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if set { default.cases } else { 400 },
        ..default
    }
}

/// The package a requirement names.
fn named(requirement: &str) -> PackageName {
    let end = requirement.find(|c: char| !c.is_ascii_alphanumeric());
    let name = &requirement[..end.unwrap_or(requirement.len())];
    name.parse().unwrap()
}

/// A universe with a question, and the tool among it if there is one.
fn question() -> impl Strategy<Value = (Universe, Vec<String>, Option<PackageName>)> {
    (world(), prop::collection::vec(requirement(), 1..=3)).prop_map(|(world, roots)| {
        let name = named(&roots[0]);
        // A tool is what is installed whatever happens, so nothing makes it conditional.
        let tool = (!roots[0].contains(';') && !world.is_overridden(&name)).then_some(name);
        let world = match &tool {
            Some(name) => world.primary(name.as_ref()),
            None => world,
        };
        (world, roots, tool)
    })
}

proptest! {
    #![proptest_config(cases())]

    /// What is found is a solution, and where there is one, one is found.
    ///
    /// Withdrawn releases and pre-releases make the second half conditional: whether a dependency
    /// deep down pins one is known only after its requirer was looked at, and by then the solver
    /// may have ruled the release out. One that the tool's own requirements ask for is always
    /// found.
    #[test]
    fn it_finds_a_solution_if_there_is_one((world, roots, _) in question()) {
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        match world.resolve(&roots) {
            Ok(resolution) => {
                let found = world.found(&resolution);
                prop_assert!(
                    world.is_solution(&roots, Mention::Anybody, &found),
                    "not a solution: {found:?}"
                );
            }
            Err(told) => {
                let all = world.brute_force(&roots, Mention::Stated);
                let plain = all.iter().find(|found| world.is_plain(&roots, found));
                prop_assert!(plain.is_none(), "missed {plain:?}; said {told}");
            }
        }
    }

    /// The tool is the newest that any solution has, on the most wanted interpreter that has it.
    #[test]
    fn the_tool_comes_first_and_then_the_interpreter((world, roots, tool) in question()) {
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        if let Ok(resolution) = world.resolve(&roots) {
            let found = world.found(&resolution);
            let rank = |found: &Found| {
                let version = tool.as_ref().and_then(|tool| found.chosen.get(tool).cloned());
                (version, std::cmp::Reverse(found.python))
            };
            let all = world.brute_force(&roots, Mention::Stated);
            let best = all.iter().filter(|found| world.is_plain(&roots, found)).map(rank).max();
            prop_assert!(best <= Some(rank(&found)), "{best:?} was possible, got {found:?}");
        }
    }

    /// Nothing is older than it has to be: no package can be replaced by a better version with all
    /// others as they are.
    #[test]
    fn nothing_is_needlessly_old((world, roots, _) in question()) {
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        if let Ok(resolution) = world.resolve(&roots) {
            let found = world.found(&resolution);
            for (name, version) in &found.chosen {
                for better in world.better(&roots, name, version) {
                    let mut raised = found.clone();
                    raised.chosen.insert(name.clone(), better.clone());
                    prop_assert!(
                        world.fits(&roots, Mention::Stated, &raised).is_none(),
                        "{name} could be {better} in {found:?}"
                    );
                }
            }
        }
    }

    /// The same question has the same answer, however the threads run.
    #[test]
    fn it_is_deterministic((world, roots, _) in question()) {
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        let once = world.solve(&roots);
        for _ in 0..3 {
            prop_assert_eq!(&world.solve(&roots), &once);
        }
    }
}
