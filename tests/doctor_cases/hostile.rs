//! What nobody meant to paste: bytes that are no text, endless lines, terminal control, evidence of
//! other shapes. Nothing of it may do harm, and a cause among it is found all the same.

use aienv::doctor::{Cause, Diagnosis, Evidence, decode, diagnose};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{corpus, support::World};

const LOST: &str = "NVRM: Xid (PCI:0000:0a:00): 79, GPU has fallen off the bus.";

fn of_bytes(bytes: &[u8]) -> Diagnosis {
    diagnose(
        &Evidence::from_text(&decode(bytes)),
        "https://index.example/",
    )
}

fn first(bytes: &[u8]) -> Option<Cause> {
    of_bytes(bytes)
        .findings
        .first()
        .map(|finding| finding.cause)
}

/// Pieces that logs are made of, whole and broken.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<String> = corpus::own()
        .into_iter()
        .flat_map(|case| case.evidence.log)
        .filter(|line| !line.is_empty())
        .collect();
    let line = proptest::sample::select(lines);
    prop_oneof![
        line.clone().prop_map(String::into_bytes),
        (line, any::<proptest::sample::Index>())
            .prop_map(|(line, cut)| { line.as_bytes()[..cut.index(line.len())].to_vec() }),
        proptest::collection::vec(any::<u8>(), 0..40),
        "\\PC{0,30}".prop_map(String::into_bytes),
        "[\u{0}-\u{1f}\u{7f}-\u{9f}]{0,12}".prop_map(String::into_bytes),
        "(\u{1b}\\[[0-9;?]{0,6}[A-Za-z]?|\u{1b}\\][^\u{7}]{0,9}\u{7}?|\u{1b}.?){1,4}"
            .prop_map(String::into_bytes),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,+Z -]{0,20}".prop_map(String::into_bytes),
        "(gfx|sm_|cuda|torch==|GLIBC_|libcu|manylinux_2_|python3)[0-9a-z._]{0,25}"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_bytes_do_harm(
        pieces in proptest::collection::vec(piece(), 0..24),
        end in proptest::sample::select(vec!["\n", "\r\n", "\r", "", " ", "\0"]),
    ) {
        let diagnosis = of_bytes(&pieces.join(end.as_bytes()));
        for finding in &diagnosis.findings {
            prop_assert!((0.0..=1.0).contains(&finding.confidence));
            let quoted = finding.evidence.concat();
            prop_assert!(!quoted.contains('\u{1b}'), "terminal control in {quoted:?}");
        }
    }

    #[test]
    fn no_json_does_harm(text in "[\\[\\]{}\",:0-9a-z\\\\ ]{0,60}") {
        let _ = Evidence::from_json(&text);
    }
}

#[test]
fn a_cause_among_what_is_no_text_is_found() {
    let broken = [
        b"\xff\xfe\x00\xc3(\xa0\n".as_slice(),
        LOST.as_bytes(),
        b"\n\xf0\x9f\n",
    ];
    assert_eq!(
        first(&broken[1..].concat()),
        Some(Cause::HardwareOrFirmware)
    );
    let inside = LOST.replace("Xid", "\u{1b}[1mXid\u{1b}[0m");
    let inside = [b"\xe2\x28\xa1 ", inside.as_bytes(), b" \xc0\xaf"].concat();
    assert_eq!(first(&inside), Some(Cause::HardwareOrFirmware));
    let wide: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(LOST.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    assert_eq!(first(&wide), Some(Cause::HardwareOrFirmware));
}

#[test]
fn a_line_of_a_megabyte_is_read() {
    for filler in ["x", "ab ", "é", "\u{1b}[2K", "gfx9", "'"] {
        let half = filler.repeat((1 << 19) / filler.len());
        let line = format!("{half} {LOST} {half}");
        assert_eq!(
            first(line.as_bytes()),
            Some(Cause::HardwareOrFirmware),
            "{filler:?}"
        );
    }
}

#[test]
fn nothing_is_found_in_nothing() {
    for text in ["", "\n\n\n", "\0\0\0", "\u{1b}[0m", "\u{feff}", " \t \r\n"] {
        let diagnosis = of_bytes(text.as_bytes());
        assert!(diagnosis.findings.is_empty(), "{text:?}: {diagnosis:?}");
    }
}

/// An evidence with every field, and the fields of it.
fn whole() -> (Value, Vec<&'static str>) {
    let whole = json!({
        "log": ["RuntimeError: no"],
        "nvidia_smi": {"driver": "570.86", "cuda": "12.8", "gpus": ["NVIDIA L4"]},
        "amd": {"gfx": "gfx1100", "rocm": "6.4", "gpus": ["Radeon RX 7900 XT"]},
        "packages": {"torch": "2.9.0+cu128"},
        "python": "3.12.3",
        "env": {"LD_LIBRARY_PATH": "/opt/lib"},
        "os": "linux",
        "facts": {"distro": "Fedora 43"},
    });
    let fields = vec![
        "/log",
        "/log/0",
        "/nvidia_smi",
        "/nvidia_smi/driver",
        "/nvidia_smi/cuda",
        "/nvidia_smi/gpus",
        "/nvidia_smi/gpus/0",
        "/amd",
        "/amd/gfx",
        "/amd/rocm",
        "/amd/gpus",
        "/amd/gpus/0",
        "/packages",
        "/packages/torch",
        "/python",
        "/env",
        "/env/LD_LIBRARY_PATH",
        "/os",
        "/facts",
        "/facts/distro",
    ];
    (whole, fields)
}

#[test]
fn every_field_may_be_missing_or_of_another_type() {
    let (whole, fields) = whole();
    let others = [
        json!(null),
        json!(true),
        json!(-1.5e300),
        json!("text"),
        json!(""),
        json!([]),
        json!([[["deep"]]]),
        json!([{"a": 1}]),
        json!({}),
        json!({"a": {"b": [null, {}]}}),
    ];
    let mut refused = 0;
    for field in fields {
        let (parent, name) = field.rsplit_once('/').unwrap();
        let mut without = whole.clone();
        if let Some(object) = without.pointer_mut(parent).and_then(Value::as_object_mut) {
            object.remove(name);
            let evidence = Evidence::from_json(&without.to_string()).unwrap();
            diagnose(&evidence, "https://index.example/");
        }
        for other in &others {
            let mut changed = whole.clone();
            *changed.pointer_mut(field).unwrap() = other.clone();
            match Evidence::from_json(&changed.to_string()) {
                Ok(evidence) => drop(diagnose(&evidence, "https://index.example/")),
                Err(error) => {
                    refused += 1;
                    let path = field[1..].replace("/0", "").replace('/', ".");
                    let named = path.split('.').next().unwrap();
                    assert!(error.to_string().contains(named), "{field}: {error}");
                }
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn the_program_says_what_is_wrong_with_an_evidence() {
    let world = World::new();
    for (content, names) in [
        ("{\"python\": [[3]]}", "python"),
        (
            "{\"nvidia_smi\": {\"gpus\": {\"a\": 1}}}",
            "nvidia_smi.gpus",
        ),
        ("[1, 2]", "evidence"),
        ("Traceback (most recent call last):", "--log"),
    ] {
        world.write("case.json", content);
        let run = world.aienv(&["doctor", "--evidence", "case.json"]);
        run.fails(2).hints().names(names);
    }
    world.write("crash.log", [b"\xff\x00\xc3(\n", LOST.as_bytes()].concat());
    let run = world.aienv(&["doctor", "--log", "crash.log", "--json"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(
        run.json()["findings"][0]["cause"],
        "gpu-hardware-or-firmware-problem"
    );
}

#[test]
fn the_page_says_what_is_wrong_why_and_what_helps() {
    let world = World::new();
    world.write(
        "post.txt",
        "$ python run.py\nRuntimeError: The NVIDIA driver\n\
         on your system is too old (found version 11040).\n$ pip list\ntorch   2.9.0+cu128\n",
    );
    let run = world.aienv(&["doctor", "--log", "post.txt"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let port = regex::Regex::new(r"127\.0\.0\.1:[0-9]+").unwrap();
    insta::assert_snapshot!(port.replace_all(&run.stdout, "index.example"));
}

#[test]
fn where_nothing_is_known_the_page_asks() {
    let world = World::new();
    world.write("empty.txt", "\n \n");
    let run = world.aienv(&["doctor", "--log", "empty.txt"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("there is nothing to read"),
        "{}",
        run.stderr
    );
    world.write(
        "post.txt",
        "frobnicate failed with an unknown error, any idea?\n",
    );
    let run = world.aienv(&["doctor", "--log", "post.txt"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout);
}
