//! The resolver scenario by scenario, on small universes. `brute_force.rs` has the random ones.
#![allow(clippy::unwrap_used)]

#[path = "support/universe.rs"]
mod universe;

use aienv::solve::HostFact;
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
fn a_dependency_may_ask_for_a_prerelease_but_gets_the_release_once_it_is_out() {
    let world = Universe::parse("b 1.0 -> a>=2.0rc1; a 1.0; a 2.0rc1; a 2.0; a 3.0rc1");
    assert_eq!(world.solve(&["b"]).unwrap(), solution("a 2.0, b 1.0"));
    assert_eq!(world.solve(&["a>=2.0rc1"]).unwrap(), solution("a 3.0rc1"));
    let allowed = world.prereleases(&["a"]);
    assert_eq!(allowed.solve(&["b"]).unwrap(), solution("a 3.0rc1, b 1.0"));
}

#[test]
fn a_prerelease_that_was_ruled_out_may_be_asked_for_later() {
    // The newest tool needs what has no release yet; the older one names the pre-release.
    let world = Universe::parse("tool 2.0 -> a>=2; tool 1.0 -> a>=2.0rc1; a 1.0; a 3.0rc1");
    assert_eq!(
        world.primary("tool").solve(&["tool"]).unwrap(),
        solution("a 3.0rc1, tool 2.0")
    );
}

#[test]
fn development_and_post_releases_have_their_place_in_the_order() {
    let world = Universe::parse("a 1.0.dev1; a 1.0a1; a 1.0; a 1.0.post1; a 1.1.dev2");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0.post1"));
    assert_eq!(world.solve(&["a==1.0"]).unwrap(), solution("a 1.0"));
    assert!(world.solve(&["a<1.0"]).is_err());
    assert_eq!(
        world.solve(&["a>=1.1.dev1"]).unwrap(),
        solution("a 1.1.dev2")
    );
}

#[test]
fn withdrawn_releases_are_taken_only_when_pinned() {
    let world = Universe::parse("a 1.0; a 2.0 yanked; b 1.0 -> a==2.0; b 2.0 -> a==2.*, a>1");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0"));
    assert_eq!(world.solve(&["a==2.0"]).unwrap(), solution("a 2.0"));
    assert!(world.solve(&["a>=2.0"]).is_err());
    assert_eq!(
        world.solve(&["a", "b<2"]).unwrap(),
        solution("a 2.0, b 1.0")
    );
    assert!(world.solve(&["b>=2"]).is_err());
    let constrained = world.constraints(&["a==2.0"]);
    assert_eq!(constrained.solve(&["a"]).unwrap(), solution("a 2.0"));
}

#[test]
fn an_extra_of_a_pinned_withdrawn_release_is_of_that_release() {
    let world = Universe::parse("a 1.0; a 2.0 yanked -> c; extra == 'x'; b 1.0 -> a[x]; c 1.0");
    assert_eq!(
        world.solve(&["a==2.0", "b"]).unwrap(),
        solution("a 2.0, b 1.0, c 1.0")
    );
    assert_eq!(world.solve(&["b"]).unwrap(), solution("a 1.0, b 1.0"));
}

#[test]
fn a_pin_of_a_version_that_was_given_up_brings_no_withdrawn_release() {
    // Only tool 1.0 pins the withdrawn release, and something else keeps it out.
    let world = Universe::parse(
        "tool 2.0 -> a>=2; tool 1.0 -> a==2.0, gone; other 1.0 -> a>=2; a 1.0; a 2.0 yanked",
    );
    assert!(world.clone().primary("tool").solve(&["tool"]).is_err());
    assert!(world.solve(&["other", "tool"]).is_err());
}

#[test]
fn an_exact_local_version_is_that_one_and_others_rank_above_the_plain_one() {
    let world = Universe::parse("torch 2.9.0; torch 2.9.0+cpu; torch 2.9.0+cu128; torch 2.8.0");
    let chosen = |root| world.solve(&[root]).unwrap();
    assert_eq!(chosen("torch==2.9.0+cpu"), solution("torch 2.9.0+cpu"));
    assert_eq!(chosen("torch==2.9.0"), solution("torch 2.9.0+cu128"));
    assert_eq!(chosen("torch!=2.9.0"), solution("torch 2.8.0"));
    assert_eq!(chosen("torch<=2.9.0"), solution("torch 2.9.0+cu128"));
    assert!(world.solve(&["torch>2.9.0"]).is_err());
}

#[test]
fn wheels_decide_which_python_a_version_runs_on() {
    let world = Universe::parse(
        "a 1.0 py3-none-any; a 2.0 cp311-cp311-manylinux_2_17_x86_64; \
         a 3.0 cp312-cp312-win_amd64 cp312-cp312-manylinux_2_39_x86_64",
    );
    let on = |pythons| world.clone().pythons(pythons).resolve(&["a"]).unwrap();
    assert_eq!(universe::versions(&on(&["3.12.1"])), solution("a 1.0"));
    assert_eq!(universe::versions(&on(&["3.11.7"])), solution("a 2.0"));
    // The tool is worth another interpreter.
    let tool = world.primary("a").pythons(&["3.12.1", "3.11.7"]);
    let resolution = tool.resolve(&["a"]).unwrap();
    assert_eq!(universe::versions(&resolution), solution("a 2.0"));
    assert_eq!(resolution.python.version().to_string(), "3.11.7");
}

#[test]
fn the_wheel_made_for_this_machine_is_taken_before_the_universal_one() {
    let world = Universe::parse(
        "a 1.0 py3-none-any cp312-cp312-manylinux_2_28_x86_64 cp312-cp312-manylinux_2_17_x86_64",
    );
    let resolution = world.resolve(&["a"]).unwrap();
    let file = &resolution.packages[&"a".parse().unwrap()].file.file_name;
    assert_eq!(file, "a-1.0-cp312-cp312-manylinux_2_28_x86_64.whl");
}

#[test]
fn source_alone_is_no_candidate_unless_it_may_be_built() {
    let world = Universe::parse("a 1.0 py3-none-any; a 2.0");
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 2.0"));
    let world = world.only_wheels();
    assert_eq!(world.solve(&["a"]).unwrap(), solution("a 1.0"));
    let told = world.solve(&["a>=2"]).unwrap_err();
    assert!(told.contains("source only"), "{told}");
}

#[test]
fn a_url_names_the_one_version_there_is() {
    let world = Universe::parse("a 1.0; a 2.0; b 1.0 -> a>=2; b 0.9; c 1.0").direct("a", "1.0");
    let url = format!("a @ {}", Universe::url("a", "1.0"));
    assert_eq!(
        world.solve(&[&url, "b"]).unwrap(),
        solution("a 1.0, b 0.9"),
        "what needs another version gives way"
    );
    // A dependency may name the same URL, not another one.
    let elsewhere = "a @ https://elsewhere.example/a-1.0.tar.gz";
    assert!(world.solve(&[&url, elsewhere]).is_err());
    let same = format!("d 1.0 -> {url}; a 1.0; a 2.0");
    let same = Universe::parse(&same).direct("a", "1.0");
    assert_eq!(same.solve(&["d", &url]).unwrap(), solution("a 1.0, d 1.0"));
    let alone = Universe::parse(&format!("d 1.0 -> {elsewhere}"));
    assert!(alone.solve(&["d"]).unwrap_err().contains("URL"));
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
fn an_override_keeps_the_extras_that_were_asked_for_and_may_add_some() {
    let world = Universe::parse(
        "a 1.0 -> b[x]==1.0; b 1.0; b 2.0 -> c; extra == 'x', d; extra == 'y'; c 1.0; d 1.0",
    );
    assert_eq!(
        world.overrides(&["b[y]>=2"]).solve(&["a"]).unwrap(),
        solution("a 1.0, b 2.0, c 1.0, d 1.0")
    );
}

#[test]
fn an_override_reaches_the_tools_own_requirements() {
    let world = Universe::parse("a 1.0; a 2.0").overrides(&["a<2"]);
    assert_eq!(world.solve(&["a>=2"]).unwrap(), solution("a 1.0"));
}

#[test]
fn a_constraint_that_nothing_can_meet_is_told() {
    let told = Universe::parse("a 1.0 -> b>=2; b 1.0; b 2.0")
        .constraints(&["b<2"])
        .solve(&["a"])
        .unwrap_err();
    assert!(told.contains('b'), "{told}");
}

#[test]
fn an_extra_may_hold_on_some_pythons_only() {
    let world = Universe::parse(
        "a 1.0 -> b; extra == 'x' and python_version < '3.12', c; extra == 'x' and sys_platform == 'linux'; b 1.0; c 1.0",
    );
    let on = |python| world.clone().pythons(&[python]).solve(&["a[x]"]).unwrap();
    assert_eq!(on("3.11.7"), solution("a 1.0, b 1.0, c 1.0"));
    assert_eq!(on("3.12.1"), solution("a 1.0, c 1.0"));
}

#[test]
fn a_cycle_through_an_extra_is_fine() {
    let world = Universe::parse("a 1.0 -> b; extra == 'x'; b 1.0 -> a[x]; b 2.0 -> a[x]>=2");
    assert_eq!(world.solve(&["a[x]"]).unwrap(), solution("a 1.0, b 1.0"));
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
