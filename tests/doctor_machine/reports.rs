//! Saved machines: healthy ones, broken ones, and the report that is written here.

use std::path::{Path, PathBuf};

use crate::support::World;

/// The saved machines of a folder, by name.
fn saved(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/doctor_machine")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.sort();
    files
}

#[test]
fn twenty_healthy_machines_have_no_problem() {
    let world = World::new();
    let machines = saved("healthy");
    assert!(machines.len() >= 20, "{}", machines.len());
    for (name, path) in machines {
        let run = world.aienv(&["doctor", "--from", path.to_str().unwrap(), "--json"]);
        assert_eq!(run.code, Some(0), "{name}\n{}", run.stdout);
        let json = run.json();
        assert_eq!(json["healthy"], true, "{name}");
        for finding in json["findings"].as_array().unwrap() {
            assert_eq!(finding["level"], "note", "{name}: {finding:#}");
        }
        // What is there is told of: every machine has something that works.
        assert!(
            json["works"].as_array().unwrap().len() >= 2,
            "{name}: {json:#}"
        );
    }
}

#[test]
fn pages_of_machines() {
    let world = World::new();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        for (name, path) in saved("broken") {
            let run = world.aienv(&["doctor", "--from", path.to_str().unwrap()]);
            assert_eq!(run.code, Some(1), "{name}\n{}", run.stdout);
            insta::assert_snapshot!(format!("page_of_{name}"), run.stdout);
        }
    });
}

#[test]
fn this_machine_is_looked_at_without_a_trace() {
    let world = World::new();
    let run = world.aienv(&["doctor"]);
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.stderr);
    assert!(run.stdout.contains("Works"), "{}", run.stdout);
    assert!(!world.home().root().exists(), "looking writes nothing");
    assert!(world.index().requests().is_empty(), "and asks nobody");
}

#[test]
fn a_report_is_read_back_and_says_nothing_private() {
    let mut world = World::new();
    let packages = world.root().join("user/lib");
    world
        .env("USER", "ada.lovelace")
        .env("HOSTNAME", "difference-engine")
        .env(
            "HTTPS_PROXY",
            "http://ada.lovelace:hunter22@192.168.7.23:3128",
        )
        .env("PYTHONPATH", packages)
        .env("LD_LIBRARY_PATH", "/home/bob/cuda/lib64")
        .env(
            "CUDA_VISIBLE_DEVICES",
            "GPU-4a1b2c3d-0123-4567-89ab-0123456789ab",
        );
    let run = world.aienv(&["doctor", "--report", "--json"]);
    let text = std::fs::read_to_string(world.work().join("aienv-report.json")).unwrap();
    let home = world.root().join("user");
    for private in [
        "ada",
        "lovelace",
        "hunter22",
        "192.168.7.23",
        "difference-engine",
        "bob",
        "4a1b2c3d",
        home.to_str().unwrap(),
    ] {
        assert!(
            !text.to_lowercase().contains(private),
            "`{private}` is in\n{text}"
        );
    }
    let again = world.aienv(&["doctor", "--from", "aienv-report.json", "--json"]);
    assert_eq!(again.code, run.code);
    let titles = |json: &serde_json::Value| -> Vec<String> {
        let findings = json["findings"].as_array().unwrap().iter();
        findings
            .map(|f| f["check"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(titles(&run.json()), titles(&again.json()));

    world.aienv(&["doctor", "--report", "page.md"]);
    let page = std::fs::read_to_string(world.work().join("page.md")).unwrap();
    assert!(
        page.contains("Works") && !page.contains("\u{1b}["),
        "{page}"
    );
}

#[test]
fn wrong_usage_and_wrong_files() {
    let world = World::new();
    world.write("other.json", "{}");
    world
        .aienv(&["doctor", "--from", "other.json"])
        .fails(1)
        .names("not a report")
        .hints();
    world
        .aienv(&["doctor", "--from", "none.json"])
        .fails(1)
        .hints();
    world
        .aienv(&["doctor", "--from", "other.json", "--probe"])
        .fails(2);
    world
        .aienv(&["doctor", "--probe", "--probe-limit", "0"])
        .fails(2);
    world
        .aienv(&["doctor", "--report", "no/such/folder/report.json"])
        .fails(1)
        .names("report.json");
}

#[test]
fn broken_settings_are_a_finding_and_not_the_end() {
    let world = World::new();
    std::fs::create_dir_all(world.home().root()).unwrap();
    std::fs::write(world.home().config_file(), "colour = \"blue\"\n").unwrap();
    let run = world.aienv(&["doctor", "--json"]);
    assert_eq!(run.code, Some(1));
    let json = run.json();
    let finding = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["check"] == "settings")
        .unwrap();
    assert!(finding["evidence"][0].as_str().unwrap().contains("colour"));
}

#[test]
fn the_network_is_asked_only_when_told_to() {
    let mut world = World::new();
    let run = world.aienv(&["doctor", "--network", "--json"]).json();
    assert!(!world.index().requests().is_empty());
    let lines = run["works"].as_array().unwrap();
    let network = lines
        .iter()
        .filter(|line| line["check"] == "network.sources");
    assert!(network.count() >= 3, "{run:#}");

    world.env("AIENV_INDEX_URL", "http://127.0.0.1:9/simple/");
    world.env("AIENV_TORCH_MIRROR", "http://127.0.0.1:9/whl/");
    let run = world.aienv(&["doctor", "--network", "--json"]);
    assert_eq!(run.code, Some(1));
    let json = run.json();
    let findings: Vec<_> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["check"] == "network.sources")
        .collect();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_eq!(
        findings[0]["level"], "problem",
        "nothing without a package index"
    );
    assert_eq!(
        findings[1]["level"], "note",
        "something without torch indexes"
    );
    world
        .aienv(&["doctor", "--network", "--offline"])
        .ok()
        .prints("offline");
}

#[test]
fn the_page_of_the_documentation_names_every_check() {
    let listed = World::new().aienv(&["doctor", "--list-checks"]).ok().stdout;
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md"))
            .unwrap();
    let ids: Vec<&str> = listed
        .lines()
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .collect();
    assert!(ids.len() >= 35, "{listed}");
    for id in ids {
        assert!(
            page.contains(&format!("`{id}`")),
            "docs/doctor.md lacks `{id}`"
        );
    }
}
