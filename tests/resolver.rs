//! The resolver against a brute-force solver on small random universes, and scenario by scenario.
#![allow(clippy::unwrap_used)]

#[path = "support/universe.rs"]
mod universe;

use std::collections::BTreeMap;

use aienv::solve::HostFact;
use proptest::prelude::*;
use universe::{Universe, solution};

#[test]
fn the_newest_acceptable_versions_win() {
    let world = Universe::parse("a 1.0; a 2.0 -> b<2; b 1.0; b 1.5; b 2.0");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 2.0, b 1.5"));
}

#[test]
fn it_backtracks_over_versions_whose_needs_cannot_be_met() {
    let world = Universe::parse(
        "a 1.0 -> c; a 2.0 -> c, missing; b 1.0 -> c<2; b 2.0 -> c>=3; c 1.0; c 2.0",
    );
    assert_eq!(
        world.solve(&["a", "b"]).unwrap(),
        solution("a 1.0, b 1.0, c 1.0")
    );
}

#[test]
fn the_tool_itself_is_newest_even_if_its_needs_are_older() {
    let world =
        Universe::parse("tool 1.0 -> x; tool 2.0 -> x<2, y; y 1.0 -> x<1.5; x 1.0; x 1.7; x 2.0");
    assert_eq!(
        world.primary("tool").solve(&["tool"]).unwrap(),
        solution("tool 2.0, x 1.0, y 1.0")
    );
}

#[test]
fn extras_bring_their_requirements_at_the_same_version() {
    let world =
        Universe::parse("a 1.0 -> c, d; extra == 'x'; a 2.0 -> d>=9; extra == 'x'; c 1.0; d 1.0");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 2.0"));
    assert_eq!(
        world.solve(&["a[x]"]).unwrap(),
        solution("a 1.0, c 1.0, d 1.0")
    );
}

#[test]
fn an_extra_may_name_other_extras_of_its_own_package() {
    let world = Universe::parse(
        "a 1.0 -> a[x,y]; extra == 'all', b; extra == 'x', c; extra == 'y'; b 1.0; c 1.0",
    );
    assert_eq!(
        world.solve(&["a[all]"]).unwrap(),
        solution("a 1.0, b 1.0, c 1.0")
    );
}

#[test]
fn an_extra_nobody_provides_is_told_and_ignored() {
    let world = Universe::parse("a 1.0");
    let resolution = world.resolve(&["a[nope]"]).unwrap();
    assert!(
        resolution.notes.iter().any(|note| note.contains("nope")),
        "{:?}",
        resolution.notes
    );
}

#[test]
fn markers_are_judged_on_the_chosen_python() {
    let world = Universe::parse(
        "a 1.0 -> b; python_version < '3.12', c; python_version >= '3.12', w; sys_platform == 'win32'; b 1.0; c 1.0; w 1.0",
    );
    assert_eq!(
        world.clone().pythons(&["3.11.7"]).solve(&["a"]).unwrap(),
        solution("a 1.0, b 1.0")
    );
    assert_eq!(
        world.pythons(&["3.12.1", "3.11.7"]).solve(&["a"]).unwrap(),
        solution("a 1.0, c 1.0")
    );
}

#[test]
fn the_python_is_given_up_before_the_tool() {
    // On 3.13 the newest tool needs something that does not exist; on 3.12 it works.
    let world = Universe::parse("tool 1.0; tool 2.0 -> ghost; python_version >= '3.13'")
        .primary("tool")
        .pythons(&["3.13.1", "3.12.4"]);
    let resolution = world.resolve(&["tool"]).unwrap();
    assert_eq!(resolution.python.version().to_string(), "3.12.4");
    assert_eq!(
        resolution.packages[&"tool".parse().unwrap()]
            .version
            .to_string(),
        "2.0"
    );
}

#[test]
fn requires_python_bounds_count_on_both_sides() {
    let world = Universe::parse("a 1.0; a 2.0 ~ <3.12; a 3.0 ~ >=3.14").pythons(&["3.12.1"]);
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0"));
    let world = Universe::parse("a 1.0; a 2.0 ~ <3.12")
        .primary("a")
        .pythons(&["3.12.1", "3.11.2"]);
    assert_eq!(
        world.resolve(&["a"]).unwrap().python.version().to_string(),
        "3.11.2"
    );
}

#[test]
fn prereleases_are_taken_only_when_asked_for_or_nothing_else_exists() {
    let world = Universe::parse("a 1.0; a 2.0rc1; b 0.1a1; b 0.1a2; c 1.0 -> a>=2.0rc1");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0"));
    assert_eq!(world.solve(&["a>=2.0rc1"]).unwrap(), solution("a 2.0rc1"));
    assert_eq!(world.solve(&["a==2.0rc1"]).unwrap(), solution("a 2.0rc1"));
    assert_eq!(world.solve(&["b"]).unwrap(), solution("b 0.1a2"));
    assert_eq!(world.solve(&["c"]).unwrap(), solution("a 2.0rc1, c 1.0"));
    assert!(world.solve(&["a>1.0"]).is_err());
}

#[test]
fn local_versions_satisfy_their_release() {
    let world = Universe::parse("torch 2.9.0+cpu; torch 2.8.0; vision 0.24 -> torch==2.9.0");
    assert_eq!(
        world.solve(&["vision"]).unwrap(),
        solution("torch 2.9.0+cpu, vision 0.24")
    );
}

#[test]
fn withdrawn_releases_are_taken_only_when_pinned() {
    let world = Universe::parse("a 1.0; a 2.0 yanked");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0"));
    assert_eq!(world.solve(&["a==2.0"]).unwrap(), solution("a 2.0"));
    assert!(world.solve(&["a>=2.0"]).is_err());
}

#[test]
fn constraints_narrow_without_requiring() {
    let world = Universe::parse("a 1.0 -> b; b 1.0; b 2.0; z 1.0").constraints(&["b<2", "z<1"]);
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0, b 1.0"));
}

#[test]
fn a_constraint_may_hold_on_some_pythons_only() {
    let world =
        Universe::parse("a 1.0 -> b; b 1.0; b 2.0").constraints(&["b<2; python_version < '3.12'"]);
    let on = |pythons| world.clone().pythons(pythons).solve(&["a"]).unwrap();
    assert_eq!(on(&["3.11.1", "3.12.1"]), solution("a 1.0, b 1.0"));
    assert_eq!(on(&["3.12.1", "3.11.1"]), solution("a 1.0, b 2.0"));
}

#[test]
fn overrides_replace_what_anybody_says() {
    let world = Universe::parse("a 1.0 -> b==1.0, c; extra == 'x'; b 1.0; b 2.0; c 1.0");
    assert_eq!(
        world.clone().overrides(&["b>=2"]).solve(&["a"]).unwrap(),
        solution("a 1.0, b 2.0")
    );
    let dropped = world.overrides(&["b; python_version < '3'"]);
    assert_eq!(dropped.solve(&["a"]).unwrap(), solution("a 1.0"));
}

#[test]
fn cycles_are_fine() {
    let world = Universe::parse("a 1.0 -> b; b 1.0 -> a; b 2.0 -> a>=2; c 1.0 -> c");
    assert_eq!(
        world.solve(&["a", "c"]).unwrap(),
        solution("a 1.0, b 1.0, c 1.0")
    );
}

#[test]
fn names_are_one_whatever_their_spelling() {
    let world = Universe::parse("My_Package 1.0 -> Other.Thing>=1; other-thing 1.0");
    assert_eq!(
        world.solve(&["my.PACKAGE"]).unwrap(),
        solution("my-package 1.0, other-thing 1.0")
    );
}

#[test]
fn torch_companions_share_their_cuda() {
    let world = Universe::parse("torch 2.14.1; torch 2.15.0; audio 2.11.0")
        .agree("cuda", "torch", "==2.14.*", "13.0")
        .agree("cuda", "torch", "==2.15.*", "13.2")
        .agree("cuda", "audio", "==2.11.*", "13.0");
    assert_eq!(
        world.solve(&["torch", "audio"]).unwrap(),
        solution("audio 2.11.0, torch 2.14.1")
    );
    assert_eq!(world.solve(&["torch"]).unwrap(), solution("torch 2.15.0"));
    let told = world.solve(&["torch>=2.15", "audio"]).unwrap_err();
    for fact in [
        "torch 2.15.0 is made for 13.2",
        "audio 2.11.0 is made for 13.0",
        "members must be alike",
    ] {
        assert!(told.contains(fact), "{fact:?} is missing in:\n{told}");
    }
}

#[test]
fn packages_that_claim_one_folder_exclude_each_other() {
    let world = Universe::parse("rt 1.0; rt-gpu 1.0; a 1.0 -> rt; a 0.9; b 1.0 -> rt-gpu")
        .agree("folder", "rt", "", "rt")
        .agree("folder", "rt-gpu", "", "rt-gpu");
    assert_eq!(
        world.solve(&["a", "b"]).unwrap(),
        solution("a 0.9, b 1.0, rt-gpu 1.0")
    );
    assert!(world.solve(&["rt", "rt-gpu"]).is_err());
}

#[test]
fn the_host_decides_which_versions_there_are() {
    let world = Universe::parse("torch 2.7.1; torch 2.14.1; torch 2.15.0; tool 1.0 -> torch>=2.14")
        .host(HostFact::NvidiaDriver, "550.54.14")
        .host_need("torch", ">=2.14", HostFact::NvidiaDriver, ">=580");
    assert_eq!(world.solve(&["torch"]).unwrap(), solution("torch 2.7.1"));
    let told = world.solve(&["tool"]).unwrap_err();
    let host =
        "torch 2.14.1 to 2.15.0 needs NVIDIA driver 580 or newer; this machine has 550.54.14";
    assert!(told.contains(host), "{told}");
    assert!(told.contains("tool 1.0 needs torch >=2.14"), "{told}");
    // A machine without the thing at all.
    let bare = Universe::parse("jax 0.8").host_need("jax", "", HostFact::NvidiaDriver, ">=525");
    let told = bare.solve(&["jax"]).unwrap_err();
    assert!(told.contains("this machine has none"), "{told}");
}

#[test]
fn what_a_package_forgets_to_require_comes_along() {
    let world = Universe::parse("ct 3.0; ct 4.0; cublas 12.0; cublas 11.0")
        .undeclared("ct", ">=4", "cublas>=12")
        .undeclared("ct", "<4", "cublas<12");
    assert_eq!(
        world.solve(&["ct"]).unwrap(),
        solution("ct 4.0, cublas 12.0")
    );
    assert_eq!(
        world.solve(&["ct<4"]).unwrap(),
        solution("ct 3.0, cublas 11.0")
    );
}

#[test]
fn what_is_held_is_preferred_while_it_is_allowed() {
    let world = Universe::parse("a 1.0; a 2.0; b 1.0 -> a>=2").preferences("a", &["1.0"]);
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0"));
    assert_eq!(world.solve(&["a", "b"]).unwrap(), solution("a 2.0, b 1.0"));
}

#[test]
fn a_conflict_is_told_with_its_facts() {
    let world = Universe::parse("a 1.0 -> c<2; b 1.0 -> c>=2; c 1.0; c 2.0");
    let told = world.solve(&["a", "b"]).unwrap_err();
    for fact in ["a", "needs c <2", "b", "needs c >=2"] {
        assert!(told.contains(fact), "{fact:?} is missing in:\n{told}");
    }
}

#[test]
fn a_missing_package_is_named() {
    let told = Universe::parse("a 1.0 -> ghost").solve(&["a"]).unwrap_err();
    assert!(told.contains("ghost"), "{told}");
}

/// A random requirement on one of the packages.
fn requirement() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    let bounds = prop::sample::select(vec!["", ">=2", "<3", "==2", "!=3", ">=2,<4", "<=1"]);
    let markers = prop::sample::select(vec![
        "",
        "",
        "",
        "; python_version < '3.12'",
        "; python_version >= '3.12'",
    ]);
    let extras = prop::sample::select(vec!["", "", "", "[x]"]);
    (names, extras, bounds, markers).prop_map(|(n, x, b, m)| format!("{n}{x}{b}{m}"))
}

/// Some versions of a package.
fn some_of(packages: Vec<&'static str>) -> impl Strategy<Value = (&'static str, &'static str)> {
    let versions = prop::sample::select(vec!["", ">=2", "<2", "==1", "!=2"]);
    (prop::sample::select(packages), versions)
}

/// A random universe whose packages need things of a random host, must agree with each other, and
/// forget requirements.
fn world() -> impl Strategy<Value = Universe> {
    let all = || some_of(vec!["a", "b", "c", "d", "e"]);
    let values = prop::sample::select(vec!["x", "y", "z", "x|y", "y|z"]);
    let members = prop::collection::vec((all(), values), 0..5);
    let wanted = prop::sample::select(vec![">=2", "<2", "==2", "!=1"]);
    let host_needs = prop::collection::vec((all(), wanted), 0..3);
    let forgotten = prop::collection::vec((all(), requirement()), 0..2);
    let host = prop::option::of(prop::sample::select(vec!["1", "2", "3"]));
    (universe(), members, host_needs, forgotten, host).prop_map(
        |(mut world, members, host_needs, forgotten, host)| {
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
            world
        },
    )
}

/// A random universe of five packages with up to three versions each.
fn universe() -> impl Strategy<Value = Universe> {
    let release = (
        prop::collection::vec(requirement(), 0..3),
        prop::collection::vec(requirement(), 0..2),
        prop::sample::select(vec!["", "", "", "<3.12", ">=3.12"]),
    );
    prop::collection::vec(prop::collection::vec(release, 0..4), 5).prop_map(|packages| {
        let mut world = Universe::default();
        for (name, releases) in ["a", "b", "c", "d", "e"].iter().zip(packages) {
            for (number, (base, extra, python)) in releases.into_iter().enumerate() {
                let mut needs = base;
                for requirement in extra {
                    let (bare, marker) = requirement.split_once(';').unwrap_or((&requirement, ""));
                    let marker = if marker.is_empty() {
                        String::new()
                    } else {
                        format!(" and{marker}")
                    };
                    needs.push(format!("{bare}; extra == 'x'{marker}"));
                }
                world.release(name, &format!("{}", number + 1), &needs, python);
            }
        }
        world.pythons(&["3.12.1", "3.11.7"])
    })
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

proptest! {
    #![proptest_config(cases())]

    /// The same satisfiability as trying everything, a solution that satisfies everything, and the
    /// newest version of the first package that any solution has.
    #[test]
    fn it_agrees_with_brute_force(world in world(), roots in prop::collection::vec(requirement(), 1..3)) {
        let first = roots[0].split(['[', '=', '<', '>', '!', ';']).next().unwrap().to_owned();
        let unconditional = !roots[0].contains(';');
        let world = if unconditional { world.primary(&first) } else { world };
        let texts: Vec<&str> = roots.iter().map(String::as_str).collect();
        let all: Vec<BTreeMap<String, String>> = world.brute_force(&texts);
        match world.resolve(&texts) {
            Ok(resolution) => {
                let found = universe::versions(&resolution);
                prop_assert!(world.is_solution(&texts, &resolution), "not a solution: {found:?}");
                if unconditional {
                    let best = all.iter().filter_map(|s| s.get(&first)).max();
                    prop_assert_eq!(found.get(&first), best);
                }
            }
            Err(told) => prop_assert!(all.is_empty(), "missed {:?}; said {told}", all[0]),
        }
    }

    /// The same question has the same answer, however the threads run.
    #[test]
    fn it_is_deterministic(world in world(), root in requirement()) {
        let once = world.solve(&[&root]);
        for _ in 0..3 {
            prop_assert_eq!(&world.solve(&[&root]), &once);
        }
    }
}
