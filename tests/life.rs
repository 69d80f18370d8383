//! A tool's life after its install: upgrades, additions, repairs, services, removal.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read as _;

use support::{Dialect, Sdist, Tree, Wheel, World, index_tool, tree_tool};

/// Large enough to be seen when it is stored.
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

// ---- life after install ---------------------------------------------------------------------

#[test]
fn upgrade_and_rollback_swap_generations_and_keep_the_data() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let text = index_tool("tiny", "", "").replace("category", "data = [\"output\"]\ncategory");
    install(&world, &[&world.manifest("tiny", &text)]);
    let picture = world.home().tool_data("tiny").join("output/picture.png");
    std::fs::write(&picture, "pixels").unwrap();

    world.index().add(Wheel::command("tiny", "2.0"));
    world.aienv(&["upgrade", "--refresh", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 2.0");
    world.index().forget();
    world.aienv(&["rollback", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
    assert!(
        world.index().requests().is_empty(),
        "a rollback needs no network"
    );
    assert_eq!(std::fs::read_to_string(&picture).unwrap(), "pixels");
}

#[test]
fn a_pinned_tool_is_not_upgraded() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    world.index().add(Wheel::command("tiny", "2.0"));
    world.aienv(&["pin", "tiny"]).ok();
    world.aienv(&["upgrade", "--refresh", "--all"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
}

#[test]
fn remove_keeps_the_data_and_purge_does_not() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let text = index_tool("tiny", "", "").replace("category", "data = [\"output\"]\ncategory");
    let manifest = world.manifest("tiny", &text);
    install(&world, &[&manifest]);
    let picture = world.home().tool_data("tiny").join("output/picture.png");
    std::fs::write(&picture, "pixels").unwrap();
    world.aienv(&["remove", "tiny"]).ok();
    assert!(!world.shim_path("tiny").exists());
    assert!(picture.exists());

    install(&world, &[&manifest]);
    world.shim("tiny", &[]).ok();
    assert!(picture.exists());
    world.aienv(&["remove", "--purge", "tiny"]).ok();
    world.assert_not_installed("tiny");
    assert!(!picture.exists());
    let run = world.aienv(&["remove", "tiny"]);
    let code = run.code.unwrap_or(1).clamp(1, 2);
    run.fails(code).names("tiny");
}

#[test]
fn added_packages_make_a_new_generation_and_leave_torch_alone() {
    let world = world();
    for (name, wheel) in [
        ("cpu", Wheel::library("torch", "2.9.1+cpu")),
        ("simple", Wheel::library("torch", "2.9.1")),
    ] {
        match name {
            "simple" => world.index().add(wheel),
            accelerator => world.index().add_torch(accelerator, wheel),
        };
    }
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("torch"));
    install(&world, &[&world.tool("tiny")]);
    let before = world.shim("tiny", &["--import", "torch"]).ok();

    world
        .index()
        .add_torch("cpu", Wheel::library("torch", "2.9.9+cpu"));
    world.index().add(Wheel::library("torch", "2.9.9"));
    world
        .index()
        .add(Wheel::library("node", "1.0").requires("torch"));
    world
        .index()
        .add(Wheel::library("greedy", "1.0").requires("torch>2.9.5"));
    world.aienv(&["add", "--refresh", "tiny", "node"]).ok();
    world
        .shim("tiny", &["--import", "node"])
        .ok()
        .prints("node 1.0");
    assert_eq!(
        world.shim("tiny", &["--import", "torch"]).ok().stdout(),
        before.stdout()
    );

    world
        .aienv(&["add", "tiny", "greedy"])
        .fails(1)
        .names("torch")
        .names("greedy");
    world.shim("tiny", &["--import", "node"]).ok();
    let listed = || world.aienv(&["list", "--installed"]).ok().stdout;
    assert!(listed().contains("with node"), "{}", listed());
    world.aienv(&["rollback", "tiny"]).ok();
    assert_ne!(world.shim("tiny", &["--import", "node"]).code, Some(0));
    // What was added is not wished for any more, or the next upgrade would bring it back.
    assert!(!listed().contains("node"), "{}", listed());
}

#[test]
fn what_is_installed_is_listed() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    assert_eq!(world.aienv(&["list", "--installed"]).ok().stdout, "");
    install(&world, &[&world.tool("tiny")]);
    world.aienv(&["pin", "tiny"]).ok();
    let listed = world.aienv(&["list", "--installed"]).ok();
    listed.prints("tiny").prints("1.0").prints("pinned");
    let json = world.aienv(&["list", "--installed", "--json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["name"], "tiny");
    assert_eq!(json[0]["generation"], 1);
    world
        .aienv(&["rollback", "tiny", "--to", "9"])
        .fails(1)
        .names("generation 9");
}

#[test]
fn everything_is_repaired_at_once() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    world.index().add(Wheel::command("other", "1.0"));
    install(&world, &[&world.tool("tiny"), &world.tool("other")]);
    std::fs::remove_dir_all(world.home().prefixes()).unwrap();
    world.aienv(&["repair", "--all"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
    world.shim("other", &[]).ok().prints("other 1.0");
}

#[test]
fn cache_commands_tell_and_tidy() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    let home = world.home().root().to_string_lossy().into_owned();
    world.aienv(&["cache", "dir"]).ok().prints(&home);
    world.aienv(&["cache", "size"]).ok();
    world.aienv(&["cache", "verify"]).ok();
    world.aienv(&["cache", "gc"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");

    // A byte that changed in the store is found.
    let files = world.home_files().into_iter();
    let mut module = files.filter(|f| f.starts_with("store/") && f.ends_with("tiny/__init__.py"));
    let module = world.home().root().join(module.next_back().unwrap());
    let mut permissions = module.metadata().unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    std::fs::set_permissions(&module, permissions).unwrap();
    std::fs::write(&module, "# changed\n").unwrap();
    let verify = world.aienv(&["cache", "verify"]);
    assert_eq!(verify.code, Some(1), "{}", verify.stderr());
    verify.prints("tiny/__init__.py");
    world.aienv(&["repair", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
}

#[test]
fn what_nobody_uses_is_collected() {
    let world = world();
    let wheel = Wheel::command("tiny", "1.0").stored();
    world.index().add(wheel.ballast("tiny/big.bin", BIG));
    install(&world, &[&world.tool("tiny")]);
    world.aienv(&["remove", "--purge", "tiny"]).ok();
    world.aienv(&["cache", "gc"]).ok();
    let left = world
        .home_files()
        .into_iter()
        .filter(|f| f.ends_with("big.bin"));
    assert_eq!(left.count(), 0);
}

/// Refused with what to do. A shim uses the shell's code for a program that cannot be started.
#[cfg(target_os = "linux")]
#[track_caller]
fn stale(run: support::Run) {
    let code = run.code.filter(|code| [1, 126, 127].contains(code));
    let run = run.fails(code.unwrap_or(1));
    run.names("python").names("aienv repair");
}

/// The interpreter a tool stands on changes, then goes away, as an update of the system does it.
#[cfg(target_os = "linux")]
#[test]
fn a_python_that_changed_or_went_away_is_noticed_and_repaired() {
    use std::io::Write as _;
    let mut world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    let usual = support::world::test_python().path.parent().unwrap();
    let python = world.own_python();
    install(&world, &[&world.tool("tiny")]);
    world.shim("tiny", &[]).ok();

    // Bytes after the end of a program change what it is, not what it does.
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&python)
        .unwrap();
    file.write_all(b"updated").unwrap();
    drop(file);
    stale(world.shim("tiny", &[]));
    world.aienv(&["repair", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");

    std::fs::remove_file(&python).unwrap();
    stale(world.shim("tiny", &[]));
    world.env("PATH", usual);
    world.aienv(&["repair", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
}

// ---- source distributions and trees ---------------------------------------------------------

#[test]
fn an_allowed_source_distribution_is_built_once() {
    let world = world();
    let sdist = Sdist::command("built", "1.0")
        .dynamic()
        .requires("helper")
        .build_requires("toolkit>=1")
        .dynamic_build_requires("late-toolkit")
        .during_build("import toolkit, late_toolkit");
    world
        .index()
        .add(sdist)
        .add(Wheel::library("helper", "1.0"));
    world
        .index()
        .add(Wheel::library("toolkit", "1.2"))
        .add(Wheel::library("late-toolkit", "1.0"));
    let text = index_tool("built", "", "[packages]\nbuild = [\"built\"]\n");
    let manifest = world.manifest("built", &text);
    install(&world, &[&manifest]);
    world.shim("built", &[]).ok().prints("built 1.0 built");
    let prefix = world
        .home_files()
        .into_iter()
        .filter(|f| f.starts_with("prefixes/"));
    let prefix: Vec<String> = prefix.collect();
    assert!(prefix.iter().any(|f| f.ends_with("helper/__init__.py")));
    assert!(
        !prefix.iter().any(|f| f.contains("toolkit")),
        "build tools stay out"
    );

    // Installed again from nothing but the store: neither built nor downloaded anew.
    world.aienv(&["remove", "--purge", "built"]).ok();
    world.index().forget();
    install(&world, &[&manifest]);
    world.shim("built", &[]).ok().prints("built 1.0 built");
    assert!(world.index().downloads_of("built-1.0").is_empty());
    assert!(world.index().downloads_of("toolkit").is_empty());
}

/// Waits for the service that a command announces; gives its address and what it answers.
fn service(running: &mut support::Running) -> (String, serde_json::Value) {
    let url = running.wait_for(r"(http://127\.0\.0\.1:\d+|http://localhost:\d+)");
    let address = url
        .trim_start_matches("http://")
        .replace("localhost", "127.0.0.1");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let request = format!("GET /system_stats HTTP/1.0\r\nHost: {address}\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    (address, serde_json::from_str(body).unwrap())
}

#[test]
fn a_source_tree_runs_as_a_service_and_a_busy_port_is_no_trouble() {
    let world = world();
    let tree = Tree::new("acme/studio", "1.2").requirement("helper>=1  # needed");
    world
        .index()
        .add_tree(&tree)
        .add(Wheel::library("helper", "1.0"));
    // Somebody else has the port.
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let manifest = world.manifest("studio", &tree_tool("studio", &tree, port, ""));
    install(&world, &[&manifest]);

    let mut running = world.start(&["run", "studio"]);
    let (address, stats) = service(&mut running);
    assert_ne!(address, busy.local_addr().unwrap().to_string());
    assert_eq!(
        stats["cpu"], true,
        "the arguments of the accelerator are passed"
    );
    let prefixes = world.home().prefixes().to_string_lossy().into_owned();
    assert!(
        stats["prefix"].as_str().unwrap().starts_with(&prefixes),
        "{stats}"
    );
    assert!(
        running.said().contains(&port.to_string()),
        "it says which port was busy"
    );

    world.aienv(&["ps"]).ok().prints("studio");
    world.aienv(&["stop", "studio"]).ok();
    running.wait();
    assert!(
        std::net::TcpStream::connect(&address).is_err(),
        "it still answers"
    );
    let run = world.aienv(&["ps"]).ok();
    assert!(!run.stdout().contains("studio"), "{}", run.stdout());
    world.aienv(&["logs", "studio"]).ok().prints("serving on");
}

#[test]
fn a_source_tree_is_known_by_its_content_not_by_its_compression() {
    let world = world();
    let tree = Tree::new("acme/studio", "1.2");
    world.index().add_tree(&tree);
    let manifest = world.manifest("studio", &tree_tool("studio", &tree, 18_199, ""));
    let lock = |name: &str| {
        world.aienv(&["lock", &manifest, "-o", name]).ok();
        let text = std::fs::read_to_string(world.work().join(name)).unwrap();
        let lock: toml::Value = toml::from_str(&text).unwrap();
        lock["tool"]["aienv"].to_string()
    };
    let first = lock("first.toml");
    world
        .index()
        .add_archive(&tree, tree.archive_recompressed());
    std::fs::remove_dir_all(world.home().root()).unwrap();
    assert_eq!(first, lock("second.toml"));
}

#[test]
fn a_service_that_dies_at_once_shows_its_log() {
    let world = world();
    let tree = Tree::new("acme/studio", "1.2");
    world.index().add_tree(&tree);
    let manifest = world.manifest("studio", &tree_tool("studio", &tree, 18_201, ""));
    install(&world, &[&manifest]);
    let run = world.aienv(&["run", "studio", "--no-such-option"]);
    let code = run.code.unwrap_or(0);
    assert_ne!(code, 0);
    let said = format!("{}{}", run.stdout(), run.stderr());
    assert!(said.contains("--no-such-option"), "{said}");
}

// ---- surroundings ---------------------------------------------------------------------------

#[test]
fn environments_can_be_entered_and_printed() {
    let world = world();
    world.index().add(Wheel::command("tiny", "1.0"));
    install(&world, &[&world.tool("tiny")]);
    let prefixes = world.home().prefixes().to_string_lossy().into_owned();
    world.aienv(&["env", "tiny"]).ok().prints(&prefixes);
    world
        .aienv(&["path"])
        .ok()
        .prints(&world.home().bin().to_string_lossy());
}

#[test]
fn a_command_of_another_tool_is_not_taken_over_in_silence() {
    let world = world();
    world.index().add(Wheel::command("alpha", "1.0"));
    world
        .index()
        .add(Wheel::command("beta", "1.0").entry_point("alpha", "beta:main"));
    install(&world, &[&world.tool("alpha")]);
    let more = "[commands.alpha]\nrun = [\"{bin}/alpha\"]\n";
    let text = index_tool("beta", "", more).replace("/beta\"]", "/beta\"]\ndefault = true");
    let run = world.aienv(&["install", &world.manifest("beta", &text)]);
    let said = run.stderr().to_lowercase();
    assert!(said.contains("alpha"), "it must tell: {said}");
    world.shim("alpha", &[]).ok().prints("alpha 1.0");
}
