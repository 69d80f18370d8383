//! The catalogue as a whole: the embedded manifests, the schema against the structs and the
//! documentation, and what is said about broken files.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

use proptest::prelude::*;

use super::{
    manifest::{AcceleratorKind, Category, Manifest, Source},
    *,
};

/// The smallest manifest, with `more` put in front of its tables.
fn minimal(more: &str) -> String {
    format!(
        r#"schema = 1
name = "demo"
title = "Demo"
summary = "A demo"
homepage = "https://demo.example"
licence = "MIT"
category = "library"
{more}

[source.index]
package = "demo"

[accelerators.cpu]

[commands.demo]
run = ["{{python}}"]
"#
    )
}

fn problems(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(findings) => findings
            .iter()
            .map(|f| format!("{}:{}: {}", f.line, f.column, f.message))
            .collect(),
    }
}

/// The problems of a manifest as a person sees them.
fn shown(text: &str) -> String {
    read(text)
        .unwrap_err()
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect()
}

fn manual() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest.md")).unwrap()
}

/// The TOML examples of the manual.
fn examples() -> Vec<String> {
    let manual = manual();
    manual
        .split("```toml\n")
        .skip(1)
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_file_of_the_folder_is_embedded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let on_disk: Vec<String> = manifests_in(&folder)
        .unwrap()
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        // Where things come from and which interpreters there are: no tools.
        .filter(|name| !["sources", "pythons"].contains(&name.as_str()))
        .collect();
    let embedded: Vec<&str> = embedded::MANIFESTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(embedded, on_disk);
}

#[test]
fn every_embedded_manifest_is_clean_and_named_like_its_file() {
    for (name, text) in embedded::MANIFESTS {
        assert_eq!(problems(text), Vec::<String>::new(), "{name}.toml");
        assert_eq!(read(text).unwrap().name, *name);
    }
    assert_eq!(Catalog::embedded().broken().count(), 0);
}

#[test]
fn every_category_has_a_tool() {
    let catalog = Catalog::embedded();
    let seen: BTreeSet<Category> = catalog.entries().map(|l| l.manifest.category).collect();
    assert_eq!(seen, BTreeSet::from(Category::ALL));
}

#[test]
fn no_two_embedded_tools_offer_the_same_command_or_package() {
    let catalog = Catalog::embedded();
    let mut commands = BTreeSet::new();
    let mut packages = BTreeSet::new();
    for loaded in catalog.entries() {
        for command in loaded.manifest.commands.keys() {
            assert!(commands.insert(command.to_lowercase()), "{command}");
        }
        if let Source::Index(index) = &loaded.manifest.source {
            assert!(packages.insert(fold(&index.package)), "{}", index.package);
            // Without a floor a solver may go back to a release nobody wants.
            assert!(
                !index.version.is_empty(),
                "{} has no floor",
                loaded.manifest.name
            );
        }
    }
}

#[test]
fn the_words_of_the_schema_are_those_of_the_types() {
    let categories = Category::ALL.map(Category::name);
    assert_eq!(categories, schema::CATEGORIES);
    for category in Category::ALL {
        assert_eq!(serde_json::to_value(category).unwrap(), category.name());
    }
    for word in schema::ACCELERATORS {
        let kind: AcceleratorKind = serde_json::from_value((*word).into()).unwrap();
        assert_eq!(kind.name(), *word);
    }
}

/// Every dotted path that a serialised manifest has, labels in place of the author's words.
fn serialised_paths(manifest: &Manifest) -> BTreeSet<String> {
    fn visit(value: &toml::Value, path: &str, paths: &mut BTreeSet<String>) {
        const MAPS: [(&str, &str); 6] = [
            ("accelerators", "<accelerator>"),
            ("commands", "<command>"),
            ("programs", "<program>"),
            ("env", "<variable>"),
            ("env-default", "<variable>"),
            ("models", "<kind>"),
        ];
        match value {
            toml::Value::Table(table) => {
                let last = path.rsplit('.').next().unwrap();
                let label = MAPS.iter().find(|(map, _)| *map == last).map(|(_, l)| *l);
                for (key, value) in table {
                    let key = label.unwrap_or(key);
                    let path = match path {
                        "" => key.to_owned(),
                        path => format!("{path}.{key}"),
                    };
                    visit(value, &path, paths);
                    paths.insert(path);
                }
            }
            toml::Value::Array(values) => {
                for value in values {
                    visit(value, path, paths);
                }
            }
            _ => {}
        }
    }
    let mut paths = BTreeSet::new();
    visit(&toml::Value::try_from(manifest).unwrap(), "", &mut paths);
    paths
}

#[test]
fn schema_and_structs_have_the_same_keys() {
    let serialised: BTreeSet<String> = examples()
        .iter()
        .flat_map(|text| serialised_paths(&read(text).unwrap()))
        .collect();
    let schema: BTreeSet<String> = schema::paths().into_iter().collect();
    assert_eq!(serialised, schema);
}

#[test]
fn the_manual_explains_every_key_and_no_other() {
    let manual = manual();
    let explained: BTreeSet<String> = manual
        .split("## Every key")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let schema: BTreeSet<String> = schema::paths().into_iter().collect();
    assert_eq!(explained, schema);
}

#[test]
fn the_manual_marks_the_keys_that_must_be_there() {
    // The first example claims to hold exactly those.
    let text = &examples()[0];
    for line in text.lines().filter(|line| line.contains(" = ")) {
        if line.starts_with("version") {
            continue;
        }
        let without = text.replace(&format!("{line}\n"), "");
        assert_ne!(problems(&without), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn the_examples_of_the_manual_are_clean() {
    assert_eq!(examples().len(), 3);
    for text in examples() {
        assert_eq!(problems(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_manifest_survives_being_written_and_read() {
    for (name, text) in embedded::MANIFESTS {
        let manifest = read(text).unwrap();
        let written = toml::to_string(&manifest).unwrap();
        assert_eq!(toml::from_str::<Manifest>(&written), Ok(manifest), "{name}");
    }
}

#[test]
fn unknown_keys_name_the_right_one() {
    let text = minimal("licens = \"MIT\"\nport = 80\nflavour = 1\n")
        .replace("package = \"demo\"", "package = \"demo\"\nextra = [\"x\"]");
    insta::assert_snapshot!(shown(&text), @r#"
    8:1: unknown key `licens`; did you mean `licence`?
      8 | licens = "MIT"
        | ^^^^^^
    9:1: unknown key `port`; it belongs to `commands.<command>.service.port`
      9 | port = 80
        | ^^^^
    10:1: unknown key `flavour`; known here: `schema`, `name`, `title`, `summary`, `homepage`, `licence`, `category`, `tags`, `source`, `python`, `packages`, `accelerators`, `commands`, `programs`, `env`, `env-default`, `data`, `models`, `checks`, `notes`
      10 | flavour = 1
         | ^^^^^^^
    15:1: unknown key `extra` in `source.index`; did you mean `extras`?
      15 | extra = ["x"]
         | ^^^^^
    "#);
}

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"schema = 2
name = "My Tool"
title = "My Tool"
homepage = "www.example"
licence = "MIT"
category = "audo"
data = ["../elsewhere", 3]

[source.index]
package = "my-tool"
version = "2.0"

[source.tree]
repository = "owner"
commit = "main"
version = "1"

[packages]
requires = ["torch >= ", "numpy"]

[accelerators.cuda]
min-compute-capability = 7.5

[accelerators.cpu]
gfx = ["gfx1100"]

[commands.one]
run = ["my-tool"]
service = { port = 0, health = "/health", args = ["--host", "{host}"] }

[commands.two]
run = ["{bin}/two", "--home", "{dta}", "--port", "{port}"]

[env]
PYTHONPATH = "/x"

[[checks]]
"#;
    insta::assert_snapshot!(shown(text));
}

#[test]
fn broken_toml_is_shown_with_its_line() {
    let text = minimal("tags = [\"a\", \"b\"\nnotes = \"x");
    insta::assert_snapshot!(shown(&text));
    insta::assert_snapshot!(shown("name = \"a\"\nname = \"b\"\n"));
}

#[test]
fn rules_between_keys() {
    let two = |first: &str, second: &str| {
        minimal("").replace(
            "[commands.demo]\n",
            &format!("[commands.a]\nrun = [\"{{python}}\"]\n{first}\n[commands.b]\n{second}\n"),
        )
    };
    assert_eq!(
        problems(&two("", "")),
        ["15:11: one of the commands must be the default; add `default = true` to it"]
    );
    assert_eq!(
        problems(&two("default = true", "default = true")),
        ["18:11: `commands.b` is the default, but `commands.a` is already; only one can be"]
    );
    assert_eq!(problems(&two("default = true", "")), Vec::<String>::new());
    let same_name = two("default = true", "").replace("[commands.b]", "[commands.demo]");
    assert_eq!(
        problems(&same_name),
        ["18:11: `commands.demo` has the tool's name, so it must be the default"]
    );
    let case = two("default = true", "").replace("[commands.b]", "[commands.A]");
    assert_eq!(
        problems(&case),
        ["18:11: `commands.A` and `commands.a` differ in case only"]
    );
    let tree = minimal("").replace("{python}\"]", "{python}\", \"{tree}/main.py\"]");
    assert_eq!(
        problems(&tree),
        [
            "16:20: `commands.demo.run[1]` uses `{tree}`, but the source is not a tree \
             (`source.tree`)"
        ]
    );
    let twice = minimal("env = { A = \"1\" }\nenv-default = { A = \"2\" }");
    assert_eq!(
        problems(&twice),
        ["9:17: `A` is in `env` too, which always wins; keep one of them"]
    );
    let misspelt = minimal("").replace("[accelerators.cpu]", "[accelerators.cpuu]");
    assert_eq!(
        problems(&misspelt),
        [
            "13:15: a key of `accelerators` is not a known accelerator: `cpuu`; did you mean \
             `cpu`?"
        ]
    );
    let empty = minimal("").replace("[accelerators.cpu]", "[accelerators]");
    assert_eq!(problems(&empty), ["13:1: `accelerators` may not be empty"]);
    let no_port = minimal("") + "service = { port = 80, health = \"/\" }\n";
    assert_eq!(
        problems(&no_port),
        [
            "17:11: `commands.demo.service` never uses `{port}`; say in `args` or `env` how the \
             port is set"
        ]
    );
}

#[test]
fn names_are_found_folded_and_by_package() {
    let catalog = Catalog::embedded();
    for reference in ["open-webui", "Open_WebUI", "open.webui"] {
        assert_eq!(
            catalog.resolve(reference).unwrap().manifest.name,
            "open-webui"
        );
    }
    assert_eq!(catalog.resolve("piper_tts").unwrap().manifest.name, "piper");
    let loaded = catalog.resolve("openai_whisper").unwrap();
    assert_eq!(loaded.sha256, Sha256::of(&loaded.text));
    assert_eq!(loaded.origin, Origin::Embedded);
}

#[test]
fn unknown_names_are_not_guessed_but_suggested() {
    let catalog = Catalog::embedded();
    let hint = |reference: &str| {
        let error = catalog.resolve(reference).unwrap_err();
        assert_eq!(
            crate::error::UserError::code(&error),
            "catalog.unknown-tool"
        );
        crate::error::UserError::hint(&error).unwrap()
    };
    // A command of that name comes first.
    assert!(hint("whisper").starts_with("did you mean `openai-whisper` or "));
    assert!(hint("comfyiu").starts_with("did you mean `comfyui`?"));
    assert!(hint("zzz").contains("`aienv list`"));
}

#[test]
fn paths_are_files() {
    let catalog = Catalog::embedded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.toml");
    fs::write(&file, minimal("")).unwrap();
    let loaded = catalog.resolve(file.to_str().unwrap()).unwrap();
    assert_eq!(loaded.manifest.name, "demo");
    assert_eq!(loaded.origin, Origin::File { path: file });
    for missing in ["./nothing", "comfyui.toml", folder.path().to_str().unwrap()] {
        let error = catalog.resolve(missing).unwrap_err();
        assert!(
            matches!(error, CatalogError::Unreadable { .. }),
            "{missing}: {error}"
        );
    }
    let large = folder.path().join("large.toml");
    fs::write(&large, vec![b'#'; LARGEST_MANIFEST as usize + 1]).unwrap();
    assert!(matches!(
        catalog.resolve(large.to_str().unwrap()).unwrap_err(),
        CatalogError::TooLarge { .. }
    ));
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"schema = 1\n\xff\xfe").unwrap();
    let error = catalog.resolve(binary.to_str().unwrap()).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn a_folder_overrides_and_its_broken_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    let mine = minimal("").replace("\"demo\"", "\"comfyui\"");
    write("mine.toml", &mine);
    write("rembg.toml", "schema = 1\nnonsense");
    write("zz-again.toml", &mine);
    write("readme.txt", "no manifest");
    let catalog = Catalog::open(&[folder.path().to_owned(), folder.path().join("missing")]);

    let loaded = catalog.resolve("ComfyUI").unwrap();
    assert_eq!(loaded.text, mine);
    assert_eq!(
        loaded.origin,
        Origin::Folder {
            path: folder.path().join("mine.toml"),
            overrides_embedded: true
        }
    );
    assert_eq!(catalog.files(), embedded::MANIFESTS.len() + 3);
    let broken: Vec<&str> = catalog
        .broken()
        .map(crate::error::UserError::code)
        .collect();
    assert_eq!(broken, ["catalog.invalid-manifest", "catalog.duplicate"]);
    // Not quietly the embedded one: the user meant the broken file.
    assert!(matches!(
        catalog.resolve("rembg").unwrap_err(),
        CatalogError::Invalid(_)
    ));
    assert_eq!(catalog.resolve("vllm").unwrap().origin, Origin::Embedded);
}

#[test]
fn search_ranks_and_forgives() {
    let catalog = Catalog::embedded();
    let names = |query: &str| -> Vec<String> {
        let words: Vec<String> = query.split(' ').map(str::to_owned).collect();
        catalog
            .search(&words)
            .iter()
            .map(|loaded| loaded.manifest.name.clone())
            .collect()
    };
    assert_eq!(names("comfyui")[0], "comfyui");
    assert_eq!(names("comfy ui")[0], "comfyui");
    assert_eq!(names("comfyiu")[0], "comfyui");
    assert_eq!(names("remove background"), ["rembg"]);
    assert_eq!(names("backgruond"), ["rembg"]);
    let whisper = names("whisper");
    for tool in ["openai-whisper", "faster-whisper", "whisperx"] {
        assert!(whisper.contains(&tool.to_owned()), "{whisper:?}");
    }
    assert_eq!(names("speech subtitles speaker"), ["whisperx"]);
    assert!(names("zebra").is_empty());
    assert_eq!(
        catalog.suggest(&["transcribtoin".to_owned()]).as_deref(),
        Some("transcription")
    );
}

proptest! {
    #[test]
    fn damaged_manifests_are_told_never_panicked_over(
        which in 0..embedded::MANIFESTS.len(), at in 0.0..1.0f64, cut in 0usize..40, put in "\\PC{0,6}",
    ) {
        let text = embedded::MANIFESTS[which].1;
        let floor = |mut i: usize| { while !text.is_char_boundary(i) { i -= 1 } i };
        let start = floor((text.len() as f64 * at) as usize);
        let end = floor((start + cut).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..start], &text[end.max(start)..]);
        if let Err(findings) = read(&damaged) {
            prop_assert!(!findings.is_empty());
            for finding in findings {
                prop_assert!(finding.line <= damaged.split('\n').count());
                let _ = finding.to_string();
            }
        }
    }
}
