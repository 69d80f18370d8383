//! From nothing to a running tool and through its life, against a loopback index: the main job.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, time::Duration};

use support::{Dialect, Failure, Wheel, World, index_tool};

/// Large enough that its download takes several reads and several segments.
const BIG: usize = 3 << 20;

/// A world whose index tells everything, so that a request for a wheel is a download of it.
fn world() -> World {
    let world = World::new();
    world.index().speak(Dialect::FULL);
    world
}

#[track_caller]
fn install(world: &World, manifests: &[&str]) {
    let mut arguments = vec!["install"];
    arguments.extend(manifests);
    world.aienv(&arguments).ok();
}

/// Names and versions of a lock.
fn packages(lock: &str) -> BTreeSet<(String, String)> {
    let lock: toml::Value = toml::from_str(lock).unwrap();
    let text = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
    let packages = lock["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (text(package, "name"), text(package, "version")))
        .collect()
}

// ---- the main job ---------------------------------------------------------------------------

#[test]
fn a_tool_is_installed_and_its_command_runs() {
    let world = world();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("helper>=1"));
    world
        .index()
        .add(Wheel::library("helper", "0.9"))
        .add(Wheel::library("helper", "1.4"));
    install(&world, &[&world.tool("tiny")]);

    world
        .shim("tiny", &["a b", "--c"])
        .ok()
        .prints("tiny 1.0 [\"a b\", \"--c\"]");
    world
        .shim("tiny", &["--import", "helper"])
        .ok()
        .prints("helper 1.4");
    world
        .aienv(&["run", "tiny", "x"])
        .ok()
        .prints("tiny 1.0 [\"x\"]");
    world.aienv(&["which", "tiny"]).ok().prints("tiny");
    assert_eq!(world.index().downloads_of("helper-0.9").len(), 0);
    assert_eq!(world.index().downloads_of("helper-1.4").len(), 1);
}

#[test]
fn run_installs_first_when_told_yes() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    let run = world.aienv(&["run", "--yes", &manifest, "x"]).ok();
    assert_eq!(
        run.stdout(),
        "tiny 1.0 [\"x\"]\n",
        "standard output is the tool's alone"
    );
    assert!(world.shim_path("tiny").exists());
}

#[test]
fn run_does_not_install_unasked_where_nobody_can_answer() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    let run = world.aienv(&["run", &manifest]);
    assert_eq!(run.code, Some(1));
    run.names("--yes");
    world.assert_not_installed("tiny");
}

#[test]
fn everything_after_the_tool_is_passed_on() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    for option in ["--help", "--version", "--yes", "-q", "--offline"] {
        let run = world.aienv(&["run", "tiny", option, "-v"]).ok();
        run.prints(&format!("tiny 1.0 [\"{option}\", \"-v\"]"));
    }
}

#[test]
fn exit_codes_pass_through() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    assert_eq!(world.shim("tiny", &["--exit-code", "42"]).code, Some(42));
    assert_eq!(
        world.aienv(&["run", "tiny", "--exit-code", "7"]).code,
        Some(7)
    );
}

#[test]
fn a_tool_sees_nothing_of_another_python() {
    let mut world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    std::fs::write(world.work().join("json.py"), "raise SystemExit('shadowed')").unwrap();
    let work = world.work();
    world.env("PYTHONPATH", work).env("PYTHONHOME", "/nowhere");
    world
        .env("LD_LIBRARY_PATH", "/nowhere")
        .env("CUDA_HOME", "/nowhere");
    world.shim("tiny", &["x"]).ok().prints("tiny 1.0");
    for name in ["PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "CUDA_HOME"] {
        // Elsewhere it is a name like any other.
        if name == "LD_LIBRARY_PATH" && !cfg!(target_os = "linux") {
            continue;
        }
        let run = world.shim("tiny", &["--print-env", name]).ok();
        assert!(
            !run.stdout().contains("nowhere"),
            "{name}: {}",
            run.stdout()
        );
    }
    // What is not Python's or the GPU's business stays.
    world.env("MY_SETTING", "kept");
    world
        .shim("tiny", &["--print-env", "MY_SETTING"])
        .ok()
        .prints("kept");
}

#[test]
fn every_way_a_wheel_brings_files_is_honoured() {
    let world = world();
    let script = "#!python\nimport sys, pathlib\n\
        print('data:', (pathlib.Path(sys.prefix) / 'share/tiny/word.txt').read_text())\n";
    let wheel = Wheel::command("tiny", "1.0")
        .build_number("7")
        .script("tiny-script", script)
        .scheme("data", "share/tiny/word.txt", "found")
        .scheme("purelib", "tiny_pure.py", "__version__ = 'pure'\n")
        .scheme("platlib", "tiny_plat.py", "__version__ = 'plat'\n")
        .scheme("headers", "tiny.h", "int tiny;\n");
    world.index().add(Wheel::command("tiny", "1.0")).add(wheel);
    let more = "[commands.tiny-script]\nrun = [\"{bin}/tiny-script\"]\n";
    let text = index_tool("tiny", "", more).replace("/tiny\"]", "/tiny\"]\ndefault = true");
    install(&world, &[&world.manifest("tiny", &text)]);
    world.shim("tiny-script", &[]).ok().prints("data: found");
    let run = world
        .shim("tiny", &["--import", "tiny_pure", "tiny_plat"])
        .ok();
    run.prints("tiny_pure pure").prints("tiny_plat plat");
    // The prefix tells other tools of the field what is in it.
    let files = world.home_files();
    for file in ["RECORD", "INSTALLER", "METADATA"] {
        let path = format!("tiny-1.0.dist-info/{file}");
        let found = files
            .iter()
            .any(|f| f.starts_with("prefixes/") && f.ends_with(&path));
        assert!(found, "{path} is not in the prefix");
    }
    assert!(files.iter().any(|f| f.ends_with("/pyvenv.cfg")));
}

#[test]
fn extras_and_markers_decide_what_is_installed() {
    let world = world();
    let wheel = Wheel::command("tiny", "1.0")
        .extra("speed", &["fast>=1"])
        .extra("docs", &["books"])
        .requires("elsewhere; sys_platform == 'nowhere'")
        .requires("older; python_version < '3'");
    world.index().add(wheel).add(Wheel::library("fast", "1.0"));
    world
        .index()
        .add(Wheel::library("books", "1.0"))
        .add(Wheel::library("elsewhere", "1.0"));
    let text = index_tool("tiny", "extras = [\"speed\"]", "");
    install(&world, &[&world.manifest("tiny", &text)]);
    world.shim("tiny", &["--import", "fast"]).ok();
    for absent in ["books", "elsewhere", "older"] {
        assert!(world.index().downloads_of(absent).is_empty(), "{absent}");
        assert_ne!(
            world.shim("tiny", &["--import", absent]).code,
            Some(0),
            "{absent}"
        );
    }
}

#[test]
fn constraints_overrides_prereleases_and_yanks_are_followed() {
    let world = world();
    world.index().add(
        Wheel::command("tiny", "1.0")
            .requires("a")
            .requires("b<2")
            .requires("c"),
    );
    for version in ["1.0", "1.5", "2.0", "3.0b1"] {
        world
            .index()
            .add(Wheel::library("a", version))
            .add(Wheel::library("b", version));
    }
    world.index().add(Wheel::library("c", "1.0"));
    world
        .index()
        .add(Wheel::library("c", "1.1").build().yanked("broken"));
    let more =
        "[packages]\nconstraints = [\"a<2\"]\noverrides = [\"b>=2\"]\nprereleases = [\"b\"]\n";
    install(
        &world,
        &[&world.manifest("tiny", &index_tool("tiny", "", more))],
    );
    let run = world.shim("tiny", &["--import", "a", "b", "c"]).ok();
    run.prints("a 1.5").prints("b 3.0b1").prints("c 1.0");
}

#[test]
fn every_dialect_of_an_index_will_do() {
    for dialect in [Dialect::MIRROR, Dialect::HTML, Dialect::FULL] {
        let world = World::new();
        world.index().speak(dialect);
        world
            .index()
            .add(Wheel::command("tiny", "1.0").requires("helper"));
        world.index().add(Wheel::library("helper", "1.0"));
        install(&world, &[&world.tool("tiny")]);
        world
            .shim("tiny", &["--import", "helper"])
            .ok()
            .prints("helper 1.0");
    }
}

#[test]
fn metadata_comes_by_range_where_the_index_has_no_metadata_files() {
    let world = World::new();
    world.index().speak(Dialect::MIRROR);
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("large"));
    world.index().add(
        Wheel::library("large", "1.0")
            .stored()
            .ballast("large/big.bin", BIG),
    );
    let manifest = world.tool("tiny");
    world.aienv(&["plan", &manifest]).ok().prints("large");
    let sent = world.index().bytes_of("large-1.0");
    assert!(
        sent < BIG as u64 / 4,
        "{sent} bytes of a wheel for its metadata"
    );
    let asked = world.index().downloads_of("large-1.0");
    assert!(
        asked.len() <= 2 && asked.iter().all(|r| r.range.is_some()),
        "{asked:?}"
    );
}

#[test]
fn credentials_of_the_index_work_and_are_kept_nowhere() {
    let mut world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    world.index().require_credentials("ann", "s3cret-word");
    let url = world.index().simple_as("ann", "s3cret-word");
    world.env("AIENV_INDEX_URL", url);
    let manifest = world.tool("tiny");
    let run = world.aienv(&["install", "-vv", &manifest]).ok();
    run.never_says("s3cret-word");
    world.shim("tiny", &[]).ok();
    for path in world.home_files() {
        let path = world.home().root().join(path);
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(11).any(|window| window == b"s3cret-word");
        assert!(!found, "{} holds the password", path.display());
    }
}

// ---- plan and lock --------------------------------------------------------------------------

#[test]
fn a_plan_tells_what_and_how_much_and_touches_nothing() {
    let world = world();
    let wheel = Wheel::command("tiny", "1.0").requires("helper").stored();
    world
        .index()
        .add(wheel.ballast("tiny/big.bin", BIG))
        .add(Wheel::library("helper", "1.4"));
    let manifest = world.tool("tiny");
    let run = world.aienv(&["plan", &manifest]).ok();
    run.prints("tiny")
        .prints("1.0")
        .prints("helper")
        .prints("1.4")
        .prints("3.1 MB");
    let plan = world.aienv(&["plan", &manifest, "--json"]).ok().json();
    assert!(
        plan.to_string().contains("helper-1.4-py3-none-any.whl"),
        "{plan}"
    );
    let touched: Vec<String> = (world.home_files().into_iter())
        .filter(|path| path != "cache" && !path.starts_with("cache/"))
        .collect();
    assert!(touched.is_empty(), "{touched:?}");
    assert!(world.index().downloads_of("").is_empty());
}

#[test]
fn the_same_inputs_give_the_same_plan() {
    let world = world();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("a").requires("b"));
    for name in ["a", "b"] {
        world
            .index()
            .add(Wheel::library(name, "1.0"))
            .add(Wheel::library(name, "1.1"));
    }
    let manifest = world.tool("tiny");
    let first = world.aienv(&["plan", &manifest, "--json"]).ok();
    let second = world.aienv(&["plan", &manifest, "--json"]).ok();
    assert_eq!(first.stdout(), second.stdout());
}

#[test]
fn a_lock_is_a_pylock_and_installs_exactly_what_it_says() {
    let world = world();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("helper"));
    world.index().add(Wheel::library("helper", "1.0"));
    let manifest = world.tool("tiny");
    world.aienv(&["lock", &manifest, "-o", "pylock.toml"]).ok();
    let text = std::fs::read_to_string(world.work().join("pylock.toml")).unwrap();
    let lock: toml::Value = toml::from_str(&text).unwrap();
    assert_eq!(lock["lock-version"].as_str(), Some("1.0"));
    assert_eq!(lock["created-by"].as_str(), Some("aienv"));
    let wheel = &lock["packages"][0]["wheels"][0];
    assert_eq!(wheel["hashes"]["sha256"].as_str().unwrap().len(), 64);
    let expected = [("helper", "1.0"), ("tiny", "1.0")].map(|(n, v)| (n.into(), v.into()));
    assert_eq!(packages(&text), BTreeSet::from(expected));

    // Something newer appears; the lock does not care, nor does it ask for pages again.
    world
        .index()
        .add(Wheel::command("tiny", "2.0"))
        .add(Wheel::library("helper", "9.0"));
    world.index().forget();
    world.aienv(&["install", "--lock", "pylock.toml"]).ok();
    world
        .shim("tiny", &["--import", "helper"])
        .ok()
        .prints("helper 1.0");
    assert!(world.index().requests_for("/simple/").is_empty());
    let run = world.aienv(&["lock", &manifest]).ok();
    assert!(
        run.stdout().contains("lock-version"),
        "without -o it goes to standard output"
    );
}

// ---- doing nothing twice --------------------------------------------------------------------

#[test]
fn a_second_install_needs_no_network() {
    let mut world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    install(&world, &[&manifest]);
    let before = world.home_files();
    world.index().forget();
    install(&world, &[&manifest]);
    assert!(
        world.index().requests().is_empty(),
        "{:#?}",
        world.index().requests()
    );
    world.index_mut().stop();
    install(&world, &[&manifest]);
    world.shim("tiny", &[]).ok();
    let prefixes = |files: &[String]| {
        let mut files = files.to_vec();
        files.retain(|f| f.starts_with("prefixes/") && f.matches('/').count() == 1);
        files
    };
    assert_eq!(prefixes(&before), prefixes(&world.home_files()));
}

#[test]
fn tools_that_share_an_artifact_download_and_store_it_once() {
    let world = world();
    let shared = Wheel::library("shared", "1.0")
        .stored()
        .ballast("shared/big.bin", BIG);
    world.index().add(shared);
    for name in ["alpha", "beta"] {
        world
            .index()
            .add(Wheel::command(name, "1.0").requires("shared"));
    }
    install(&world, &[&world.tool("alpha")]);
    assert!(world.index().bytes_of("shared-1.0") >= BIG as u64);
    world.index().forget();
    install(&world, &[&world.tool("beta")]);
    assert!(world.index().downloads_of("shared-1.0").is_empty());
    for name in ["alpha", "beta"] {
        world
            .shim(name, &["--import", "shared"])
            .ok()
            .prints("shared 1.0");
    }
    let stored = world.home_files().into_iter();
    let stored = stored.filter(|f| f.starts_with("store/") && f.ends_with("shared/big.bin"));
    assert_eq!(stored.count(), 1);
}

#[test]
fn several_tools_at_once_download_the_union_once() {
    let world = world();
    world.index().add(Wheel::library("shared", "1.0"));
    for name in ["alpha", "beta"] {
        world
            .index()
            .add(Wheel::command(name, "1.0").requires("shared"));
    }
    install(&world, &[&world.tool("alpha"), &world.tool("beta")]);
    assert_eq!(world.index().downloads_of("shared-1.0").len(), 1);
    world.shim("alpha", &["x"]).ok().prints("alpha 1.0");
    world.shim("beta", &["x"]).ok().prints("beta 1.0");
}

#[test]
fn two_installs_at_the_same_time_do_not_disturb_each_other() {
    let world = world();
    let shared = Wheel::library("shared", "1.0")
        .stored()
        .ballast("shared/big.bin", BIG);
    world.index().add(shared);
    for name in ["alpha", "beta"] {
        world
            .index()
            .add(Wheel::command(name, "1.0").requires("shared"));
    }
    let pause = Duration::from_millis(5);
    let slow = Failure::Slow {
        chunk: 64 << 10,
        pause,
    };
    world.index().fail("shared-1.0-py3-none-any.whl", slow);
    let (alpha, beta) = (world.tool("alpha"), world.tool("beta"));
    let running: Vec<_> = [&alpha, &alpha, &beta]
        .map(|manifest| world.start(&["install", manifest]))
        .into();
    for run in running {
        run.wait().ok();
    }
    for name in ["alpha", "beta"] {
        world
            .shim(name, &["--import", "shared"])
            .ok()
            .prints("shared 1.0");
    }
    let sent = world.index().bytes_of("shared-1.0");
    assert!(
        sent < 2 * BIG as u64,
        "{sent} bytes: downloaded more than once"
    );
}

// ---- interruptions --------------------------------------------------------------------------

#[test]
fn an_install_that_was_killed_leaves_nothing_and_the_next_one_works() {
    let world = world();
    let wheel = Wheel::command("tiny", "1.0").stored();
    world.index().add(wheel.ballast("tiny/big.bin", BIG));
    let pause = Duration::from_millis(50);
    let file = "tiny-1.0-py3-none-any.whl";
    world.index().fail(
        file,
        Failure::Slow {
            chunk: 64 << 10,
            pause,
        },
    );
    let manifest = world.tool("tiny");
    let running = world.start(&["install", &manifest]);
    world.index().wait_for(file);
    std::thread::sleep(Duration::from_millis(500));
    running.kill();
    assert!(!world.shim_path("tiny").exists());
    assert!(!world.home().tool("tiny").join("tool.toml").exists());

    world.index().recover();
    install(&world, &[&manifest]);
    world.shim("tiny", &["x"]).ok().prints("tiny 1.0");
    let prefixes = std::fs::read_dir(world.home().prefixes()).unwrap();
    assert_eq!(prefixes.count(), 1, "something half-built is left");
}

#[test]
fn an_upgrade_that_was_killed_leaves_the_old_version() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    let wheel = Wheel::command("tiny", "2.0").stored();
    world.index().add(wheel.ballast("tiny/big.bin", BIG));
    let pause = Duration::from_millis(50);
    let file = "tiny-2.0-py3-none-any.whl";
    world.index().fail(
        file,
        Failure::Slow {
            chunk: 64 << 10,
            pause,
        },
    );
    let running = world.start(&["upgrade", "--refresh", "tiny"]);
    world.index().wait_for(file);
    std::thread::sleep(Duration::from_millis(300));
    running.kill();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
    world.index().recover();
    world.aienv(&["upgrade", "--refresh", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 2.0");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_an_install_cleanly() {
    let world = world();
    let wheel = Wheel::command("tiny", "1.0").stored();
    world.index().add(wheel.ballast("tiny/big.bin", BIG));
    let pause = Duration::from_millis(50);
    let file = "tiny-1.0-py3-none-any.whl";
    world.index().fail(
        file,
        Failure::Slow {
            chunk: 64 << 10,
            pause,
        },
    );
    let running = world.start(&["install", &world.tool("tiny")]);
    world.index().wait_for(file);
    running.signal(libc::SIGINT);
    let run = running.wait();
    assert_ne!(run.code, Some(0));
    world.assert_not_installed("tiny");
}

#[test]
fn a_download_that_breaks_is_resumed() {
    let world = world();
    let wheel = Wheel::command("tiny", "1.0").stored();
    world.index().add(wheel.ballast("tiny/big.bin", BIG));
    let file = "tiny-1.0-py3-none-any.whl";
    world
        .index()
        .fail_times(file, Failure::BreakAfter(BIG / 4), 1);
    install(&world, &[&world.tool("tiny")]);
    world.shim("tiny", &["x"]).ok().prints("tiny 1.0");
    let whole = |range: &Option<String>| range.as_deref().is_none_or(|r| r == "bytes=0-");
    let requests = world.index().downloads_of(file);
    let from_the_start = requests.iter().filter(|r| whole(&r.range)).count();
    assert!(requests.len() > 1 && from_the_start <= 1, "{requests:#?}");
}

#[test]
fn a_download_that_breaks_starts_over_where_ranges_are_not_answered() {
    let world = world();
    world.index().speak(Dialect {
        ranges: false,
        ..Dialect::FULL
    });
    let wheel = Wheel::command("tiny", "1.0").stored();
    world.index().add(wheel.ballast("tiny/big.bin", BIG));
    let file = "tiny-1.0-py3-none-any.whl";
    world
        .index()
        .fail_times(file, Failure::BreakAfter(BIG / 2), 2);
    install(&world, &[&world.tool("tiny")]);
    world.shim("tiny", &["x"]).ok().prints("tiny 1.0");
}

#[test]
fn an_index_that_is_busy_is_asked_again() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let later = Failure::RetryAfter {
        status: 429,
        seconds: 1,
    };
    world.index().fail_times("/simple/tiny/", later, 1);
    world
        .index()
        .fail_times("tiny-1.0-py3-none-any.whl", Failure::Status(503), 2);
    install(&world, &[&world.tool("tiny")]);
    world.shim("tiny", &[]).ok();
}
