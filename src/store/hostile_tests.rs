//! Archives that want to do harm: each is refused, with nothing left behind.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use super::{
    samples::{SampleWheel, TarEntry, tar_gz_of, zip_of},
    unpack::{Job, Purpose},
    *,
};
use crate::progress::{Progress as _, Silent};

fn quiet() -> Arc<dyn Task> {
    Silent.task("", None)
}

fn everything_below(folder: &Path) -> Vec<std::path::PathBuf> {
    walkdir::WalkDir::new(folder)
        .min_depth(1)
        .into_iter()
        .map(|e| e.unwrap().into_path())
        .collect()
}

/// Adds the bytes as a wheel and gives the fault; nothing may be left in the store.
fn wheel_fault(name: &str, bytes: &[u8]) -> (Option<String>, ArchiveFault) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&Home::at(folder.path().join("home")));
    let path = folder.path().join("x.whl");
    fs::write(&path, bytes).unwrap();
    let archive = VerifiedFile::read(&path).unwrap();
    let error = store.add_wheel(&archive, name, &*quiet()).unwrap_err();
    assert!(everything_below(&store.root().join("wheels")).is_empty());
    match error {
        StoreError::Archive {
            archive,
            entry,
            fault,
        } => {
            assert_eq!(archive, name);
            (entry, fault)
        }
        other => panic!("{other}"),
    }
}

fn tree_fault(entries: &[TarEntry<'_>]) -> (Option<String>, ArchiveFault) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&Home::at(folder.path().join("home")));
    let path = folder.path().join("x.tar.gz");
    fs::write(&path, tar_gz_of(entries, 6, 0)).unwrap();
    let error = store.add_tree(&path, "x", None, &*quiet()).unwrap_err();
    assert!(everything_below(&store.root().join("trees")).is_empty());
    match error {
        StoreError::Archive { entry, fault, .. } => (entry, fault),
        other => panic!("{other}"),
    }
}

const NAME: &str = "pkg-1.0-py3-none-any.whl";

fn wheel() -> SampleWheel {
    SampleWheel::new("pkg", "1.0")
}

macro_rules! refuses {
    ($result:expr, $entry:pat, $fault:pat) => {{
        let (entry, fault) = $result;
        assert!(
            matches!((entry.as_deref(), &fault), ($entry, $fault)),
            "{entry:?} {fault:?}"
        );
    }};
}

#[test]
fn names_that_lead_out() {
    use ArchiveFault::{AbsolutePath, NameCharacter, ParentFolder};
    let fault = |name| wheel_fault(NAME, &wheel().file(name, "x").bytes());
    refuses!(fault("/abs"), Some("/abs"), AbsolutePath);
    refuses!(fault("//host/share"), Some(_), AbsolutePath);
    refuses!(fault("c:/x"), Some("c:/x"), AbsolutePath);
    refuses!(fault("../x"), Some("../x"), ParentFolder);
    refuses!(fault("a/../../x"), Some(_), ParentFolder);
    refuses!(fault("a\\..\\..\\x"), Some(_), NameCharacter(_));
    refuses!(fault("a\nb"), Some(_), NameCharacter(_));
}

#[test]
fn names_that_meet() {
    let bytes = wheel().file("pkg/a.py", "1").file("pkg/A.py", "2").bytes();
    refuses!(
        wheel_fault(NAME, &bytes),
        Some("pkg/A.py"),
        ArchiveFault::CaseCollision(_)
    );
    let bytes = wheel().file("pkg", "1").file("pkg/a.py", "2").bytes();
    refuses!(
        wheel_fault(NAME, &bytes),
        Some(_),
        ArchiveFault::FileAndFolder(_)
    );
    // The writer refuses equal names, so two of the same length are made equal afterwards.
    let mut bytes = wheel().file("pkg/one", "1").file("pkg/two", "2").bytes();
    for at in 0..bytes.len() - 7 {
        if &bytes[at..at + 7] == b"pkg/two" {
            bytes[at..at + 7].copy_from_slice(b"pkg/one");
        }
    }
    refuses!(wheel_fault(NAME, &bytes), None, ArchiveFault::Duplicate);
}

#[test]
fn links_and_devices() {
    let link = wheel().file_with_mode("pkg/link", "../../x", 0o120_777);
    refuses!(
        wheel_fault(NAME, &link.bytes()),
        Some("pkg/link"),
        ArchiveFault::LinkInWheel | ArchiveFault::SpecialFile
    );
    for (name, target) in [
        ("t/a", "/etc/passwd"),
        ("t/a", ".."),
        ("t/a", "../../x"),
        ("t/d/a", "b/../../../../x"),
    ] {
        let entries = [
            TarEntry::File("t/f", b"", 0o644),
            TarEntry::Symlink(name, target),
        ];
        refuses!(tree_fault(&entries), Some(_), ArchiveFault::LinkOutside(_));
    }
    // A file that would be written through a link.
    let entries = [
        TarEntry::File("t/f", b"", 0o644),
        TarEntry::Symlink("t/d", "."),
        TarEntry::File("t/d/x", b"", 0o644),
    ];
    refuses!(
        tree_fault(&entries),
        Some(_),
        ArchiveFault::FileAndFolder(_)
    );
    for target in ["t/none", "/etc/passwd", "../x"] {
        let entries = [
            TarEntry::File("t/f", b"", 0o644),
            TarEntry::Hard("t/h", target),
        ];
        assert!(tree_fault(&entries).0.is_some());
    }
    for kind in [
        tar::EntryType::Char,
        tar::EntryType::Block,
        tar::EntryType::Fifo,
        tar::EntryType::GNUSparse,
    ] {
        let entries = [
            TarEntry::File("t/f", b"", 0o644),
            TarEntry::Other("t/dev", kind),
        ];
        let _ = tree_fault(&entries);
    }
}

#[test]
fn tar_names() {
    for bad in ["/t/abs", "t/../../x", "t/a\\b", "other/file"] {
        let entries = [
            TarEntry::File("t/f", b"", 0o644),
            TarEntry::File(bad, b"", 0o644),
        ];
        assert_eq!(tree_fault(&entries).0.as_deref(), Some(bad));
    }
    let entries = [
        TarEntry::File("t/f", b"", 0o644),
        TarEntry::File("t/F", b"", 0o644),
    ];
    refuses!(
        tree_fault(&entries),
        Some("t/F"),
        ArchiveFault::CaseCollision(_)
    );
    refuses!(tree_fault(&[]), None, ArchiveFault::Empty);
}

#[test]
fn bombs() {
    // Half a gigabyte of zeros in half a megabyte.
    let bytes = zip_of(&[("pkg/zeros", &vec![0; 300_000_000], 0o644)]);
    refuses!(
        wheel_fault(NAME, &bytes),
        Some("pkg/zeros"),
        ArchiveFault::TooLarge(_)
    );
    let zeros = vec![0; 300_000_000];
    let entries = [TarEntry::File("t/zeros", &zeros, 0o644)];
    refuses!(tree_fault(&entries), Some(_), ArchiveFault::TooLarge(_));
}

#[test]
fn too_many_entries() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("a.zip");
    let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    let entries: Vec<(&str, &[u8], u32)> = names
        .iter()
        .map(|n| (n.as_str(), &b""[..], 0o644))
        .collect();
    fs::write(&archive, zip_of(&entries)).unwrap();
    let job = Job {
        archive: &archive,
        label: "a.zip",
        into: folder.path().join("into"),
        purpose: Purpose::Private,
        limits: Limits {
            entries: 10,
            ..Limits::default()
        },
        progress: &*quiet(),
    };
    let error = unpack_zip(&job, false).unwrap_err();
    assert!(
        error.to_string().contains("more than 10 entries"),
        "{error}"
    );
}

#[test]
fn damage() {
    let good = wheel().file("pkg/a.py", vec![b'x'; 5000]).bytes();
    for end in [0, 10, good.len() / 2, good.len() - 1] {
        let (_, fault) = wheel_fault(NAME, &good[..end]);
        assert!(
            matches!(fault, ArchiveFault::Truncated | ArchiveFault::Corrupt(_)),
            "{fault:?}"
        );
    }
    // A flipped bit in the content is found by its checksum.
    let stored = {
        let bytes = wheel().file("pkg/a.py", "needle in the hay").bytes();
        let at = bytes.windows(6).position(|w| w == b"needle");
        at.map(|at| {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            bytes
        })
    };
    if let Some(bytes) = stored {
        refuses!(
            wheel_fault(NAME, &bytes),
            Some("pkg/a.py"),
            ArchiveFault::Corrupt(_)
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&Home::at(folder.path().join("home")));
    let tar = tar_gz_of(&[TarEntry::File("t/f", &[3; 5000], 0o644)], 1, 0);
    for end in [0, 5, tar.len() / 2, tar.len() - 3] {
        let path = folder.path().join("x.tar.gz");
        fs::write(&path, &tar[..end]).unwrap();
        assert!(
            store.add_tree(&path, "x", None, &*quiet()).is_err(),
            "{end}"
        );
    }
    assert!(everything_below(&store.root().join("trees")).is_empty());
}

#[test]
fn records_that_lie() {
    let info = "pkg-1.0.dist-info";
    let right = wheel().file("pkg/a.py", "x").right_record();
    let with = |record: &str| {
        let bytes = wheel().file("pkg/a.py", "x").record(record).bytes();
        wheel_fault(NAME, &bytes)
    };
    let without_row: String = right
        .lines()
        .filter(|l| !l.contains("a.py"))
        .map(|l| format!("{l}\n"))
        .collect();
    refuses!(
        with(&without_row),
        Some("pkg/a.py"),
        ArchiveFault::NotInRecord
    );
    let other = hash_field(&Sha256::of("other"));
    let wrong = right.replace(&hash_field(&Sha256::of("x")), &other);
    refuses!(with(&wrong), Some("pkg/a.py"), ArchiveFault::RecordMismatch);
    let weak = right.replace(&hash_field(&Sha256::of("x")), "md5=abc");
    refuses!(with(&weak), Some("pkg/a.py"), ArchiveFault::NoHashInRecord);

    let signed = wheel()
        .file(&format!("{info}/RECORD.jws"), "{}")
        .record(&wheel().right_record())
        .bytes();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&Home::at(folder.path().join("home")));
    let path = folder.path().join(NAME);
    fs::write(&path, signed).unwrap();
    let archive = VerifiedFile::read(&path).unwrap();
    store.add_wheel(&archive, NAME, &*quiet()).unwrap();
}

#[test]
fn other_packages_in_disguise() {
    let bytes = wheel().bytes();
    refuses!(
        wheel_fault("other-1.0-py3-none-any.whl", &bytes),
        Some(_),
        ArchiveFault::NoDistInfo(_)
    );
    refuses!(
        wheel_fault("pkg-1.1-py3-none-any.whl", &bytes),
        Some(_),
        ArchiveFault::NoDistInfo(_)
    );
    refuses!(
        wheel_fault("pkg.zip", &bytes),
        None,
        ArchiveFault::NotAWheelName(_)
    );
    let two = wheel().file("evil-2.dist-info/METADATA", "x").bytes();
    refuses!(
        wheel_fault(NAME, &two),
        None,
        ArchiveFault::SeveralDistInfo(_)
    );
    let none = zip_of(&[("pkg/a.py", b"x", 0o644)]);
    refuses!(wheel_fault(NAME, &none), None, ArchiveFault::NoDistInfo(_));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(&Home::at(folder.path()));
        let path = folder.path().join("x");
        fs::write(&path, &bytes).unwrap();
        let archive = VerifiedFile::read(&path).unwrap();
        proptest::prop_assert!(store.add_wheel(&archive, NAME, &*quiet()).is_err());
        proptest::prop_assert!(store.add_python(&archive, "x", &*quiet()).is_err());
    }

    #[test]
    fn a_changed_byte_is_refused_or_harmless(at in 0usize..1000, with: u8) {
        let mut bytes = wheel().file("pkg/a.py", "content of a file\n".repeat(5)).bytes();
        let at = at % bytes.len();
        bytes[at] = with;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(&Home::at(folder.path()));
        let path = folder.path().join("x");
        fs::write(&path, &bytes).unwrap();
        let archive = VerifiedFile::read(&path).unwrap();
        if let Ok(entry) = store.add_wheel(&archive, NAME, &*quiet()) {
            proptest::prop_assert!(store.verify(&*quiet()).is_empty());
            proptest::prop_assert_eq!(entry.dist_info, "pkg-1.0.dist-info");
        }
    }
}
