#![allow(clippy::unwrap_used)]

use std::{fs, sync::Arc};

use super::{
    samples::{SampleWheel, TarEntry, tar_gz_of},
    *,
};
use crate::progress::{Progress as _, Silent};

fn quiet() -> Arc<dyn Task> {
    Silent.task("", None)
}

fn new_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::of(&Home::at(folder.path().join("home")));
    (folder, store)
}

fn sample() -> SampleWheel {
    SampleWheel::new("pkg", "1.0")
        .file("pkg/__init__.py", "x = 1\n")
        .file("pkg/big.bin", vec![7; 300_000])
        .file_with_mode("pkg/tool", "#!/bin/sh\n", 0o106_755)
}

#[test]
fn a_wheel_is_unpacked_once_and_read_back() {
    let (folder, store) = new_store();
    let wheel = sample();
    let archive = wheel.write(folder.path());
    let sha256 = archive.sha256();
    assert!(!store.has_wheel(&sha256));
    let entry = store
        .add_wheel(&archive, &wheel.file_name(), &*quiet())
        .unwrap();
    assert!(store.has_wheel(&sha256));
    assert_eq!(store.wheel(&sha256).unwrap(), entry);
    assert_eq!(entry.dist_info, "pkg-1.0.dist-info");
    assert_eq!(entry.files.len(), 6);
    for file in &entry.files {
        let content = fs::read(entry.root.join(&file.path)).unwrap();
        assert_eq!(Sha256::of(&content), file.sha256);
        assert_eq!(content.len() as u64, file.size);
    }
    assert!(store.verify(&*quiet()).is_empty());
    assert_eq!(store.size().bytes(), entry.bytes);
    // The archive is no longer needed.
    fs::remove_file(archive.path()).unwrap();
    store
        .add_wheel(&archive, &wheel.file_name(), &*quiet())
        .unwrap();
}

#[cfg(unix)]
#[test]
fn modes_are_read_only_and_never_setuid() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, store) = new_store();
    let wheel = sample();
    let entry = store
        .add_wheel(&wheel.write(folder.path()), &wheel.file_name(), &*quiet())
        .unwrap();
    let mode = |path: &str| {
        let mode = fs::metadata(entry.root.join(path))
            .unwrap()
            .permissions()
            .mode();
        mode & 0o7333
    };
    assert_eq!(mode("pkg/__init__.py"), 0);
    assert_eq!(mode("pkg/tool") & 0o7222, 0);
    assert_eq!(mode("pkg/tool") & 0o100, 0o100);
}

#[test]
fn many_at_once_unpack_it_once() {
    let (folder, store) = new_store();
    let wheel = sample();
    let archive = wheel.write(folder.path());
    let entries: Vec<Entry> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    store
                        .add_wheel(&archive, &wheel.file_name(), &*quiet())
                        .unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(entries.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(store.verify(&*quiet()).is_empty());
    assert_eq!(
        fs::read_dir(store.root().join("wheels")).unwrap().count(),
        1
    );
}

#[test]
fn what_a_killed_process_left_is_replaced_or_collected() {
    let (folder, store) = new_store();
    let wheel = sample();
    let archive = wheel.write(folder.path());
    let leave = || {
        let half = store
            .root()
            .join(format!("wheels/.tmp-{}", archive.sha256()));
        fs::create_dir_all(half.join("files/pkg")).unwrap();
        fs::write(half.join("files/pkg/__init__.py"), "half").unwrap();
        half
    };
    let half = leave();
    assert!(!store.has_wheel(&archive.sha256()));
    store
        .add_wheel(&archive, &wheel.file_name(), &*quiet())
        .unwrap();
    assert!(!half.exists());
    assert!(store.verify(&*quiet()).is_empty());

    leave();
    let mut live = Live::default();
    live.insert(Kind::Wheel, archive.sha256());
    let report = store.gc(|| Ok::<_, StoreError>(live)).unwrap();
    assert_eq!((report.entries, report.leftovers), (0, 1));
    assert!(!half.exists());
    assert!(store.has_wheel(&archive.sha256()));

    let report = store.gc(|| Ok::<_, StoreError>(Live::default())).unwrap();
    assert_eq!((report.entries, report.leftovers), (1, 0));
    assert!(!store.has_wheel(&archive.sha256()));
    assert_eq!(store.size().bytes(), 0);
}

#[test]
fn damage_is_found() {
    let (folder, store) = new_store();
    let wheel = sample();
    let entry = store
        .add_wheel(&wheel.write(folder.path()), &wheel.file_name(), &*quiet())
        .unwrap();
    let module = entry.root.join("pkg/__init__.py");
    fs::remove_file(&module).unwrap();
    fs::write(&module, "x = 2\n").unwrap();
    fs::remove_file(entry.root.join("pkg/tool")).unwrap();
    let damages = store.verify(&*quiet());
    let kinds: Vec<_> = damages.iter().map(|d| d.damage).collect();
    assert_eq!(kinds, [DamageKind::Changed, DamageKind::Missing]);
    store.remove(entry.kind, &entry.key).unwrap();
    assert!(store.verify(&*quiet()).is_empty());
}

const TREE: [TarEntry<'static>; 5] = [
    TarEntry::Other("top-1/", tar::EntryType::Directory),
    TarEntry::File("top-1/main.py", b"print()\n", 0o644),
    TarEntry::File("top-1/run.sh", b"#!/bin/sh\n", 0o755),
    TarEntry::File("top-1/sub/data", b"data", 0o600),
    TarEntry::Symlink("top-1/sub/link", "../main.py"),
];

fn renamed(top: &str) -> Vec<(String, TarEntry<'static>)> {
    let name = |n: &str| n.replacen("top-1", top, 1);
    TREE.iter()
        .rev()
        .map(|entry| match entry {
            TarEntry::File(n, c, m) => (name(n), TarEntry::File("", c, *m)),
            TarEntry::Symlink(n, t) => (name(n), TarEntry::Symlink("", t)),
            TarEntry::Hard(n, t) => (name(n), TarEntry::Hard("", t)),
            TarEntry::Other(n, k) => (name(n), TarEntry::Other("", *k)),
        })
        .collect()
}

#[test]
fn a_tree_is_named_by_content_however_it_was_packed() {
    let (folder, store) = new_store();
    let first = folder.path().join("one.tar.gz");
    fs::write(&first, tar_gz_of(&TREE, 9, 1_700_000_000)).unwrap();
    let second = folder.path().join("two.tar.gz");
    let other = renamed("elsewhere-2");
    let entries: Vec<TarEntry<'_>> = other
        .iter()
        .map(|(name, entry)| match entry {
            TarEntry::File(_, c, m) => TarEntry::File(name, c, *m),
            TarEntry::Symlink(_, t) => TarEntry::Symlink(name, t),
            TarEntry::Hard(_, t) => TarEntry::Hard(name, t),
            TarEntry::Other(_, k) => TarEntry::Other(name, *k),
        })
        .collect();
    fs::write(&second, tar_gz_of(&entries, 1, 0)).unwrap();
    assert_ne!(fs::read(&first).unwrap(), fs::read(&second).unwrap());

    let one = store.add_tree(&first, "one", None, &*quiet()).unwrap();
    let two = store
        .add_tree(&second, "two", Some(&one.key), &*quiet())
        .unwrap();
    assert_eq!(one.key, two.key);
    store.remove(Kind::Tree, &one.key).unwrap();
    let two = store.add_tree(&second, "two", None, &*quiet()).unwrap();
    assert_eq!(one.key, two.key);
    #[cfg(unix)]
    assert_eq!(
        fs::read_to_string(two.root.join("sub/link")).unwrap(),
        "print()\n"
    );
    let wrong = Sha256::of("another");
    let error = store
        .add_tree(&second, "two", Some(&wrong), &*quiet())
        .unwrap_err();
    assert!(matches!(error, StoreError::TreeHash { .. }));
    assert_eq!(fs::read_dir(store.root().join("trees")).unwrap().count(), 1);
}

#[test]
fn a_python_build_keeps_its_links() {
    let (folder, store) = new_store();
    let path = folder.path().join("python.tar.gz");
    let archive = tar_gz_of(
        &[
            TarEntry::File("python/bin/python3.12", b"elf", 0o755),
            TarEntry::Symlink("python/bin/python3", "python3.12"),
            TarEntry::Hard("python/bin/python", "python/bin/python3.12"),
            TarEntry::File("python/share/terminfo/A/x", b"1", 0o644),
        ],
        6,
        0,
    );
    fs::write(&path, archive).unwrap();
    let archive = VerifiedFile::read(&path).unwrap();
    let entry = store.add_python(&archive, "python", &*quiet()).unwrap();
    assert_eq!(fs::read(entry.root.join("bin/python3")).unwrap(), b"elf");
    assert_eq!(fs::read(entry.root.join("bin/python")).unwrap(), b"elf");
    assert_eq!(entry.files.len(), 3);
    assert!(store.verify(&*quiet()).is_empty());
}

#[test]
fn a_source_distribution_is_unpacked_to_be_worked_on() {
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("p-1.tar.gz");
    fs::write(&tar, tar_gz_of(&TREE, 6, 0)).unwrap();
    let zip = folder.path().join("p-1.zip");
    let bytes = super::samples::zip_of(&[
        ("p-1/main.py", b"print()\n", 0o644),
        ("p-1/sub/data", b"data", 0o644),
    ]);
    fs::write(&zip, bytes).unwrap();
    for (n, path) in [tar, zip].iter().enumerate() {
        let into = folder.path().join(format!("into{n}"));
        fs::create_dir(&into).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        unpack_source(&VerifiedFile::read(path).unwrap(), name, &into).unwrap();
        fs::write(into.join("main.py"), "changed").unwrap();
        assert_eq!(fs::read(into.join("sub/data")).unwrap(), b"data");
    }
}
