//! Reading and writing files: round trips, split models, and everything that must be refused.

#![allow(clippy::unwrap_used)]

use std::fs;

use aienv_engine::gguf::{
    Array, Error, File, Flaw, Metadata, TensorType, Value, Writer, part_name,
};
use proptest::prelude::*;

/// A file, byte by byte.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn new(tensors: u64, pairs: u64) -> Bytes {
        Bytes(b"GGUF".to_vec()).u32(3).u64(tensors).u64(pairs)
    }

    fn raw(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, n: u32) -> Bytes {
        self.raw(&n.to_le_bytes())
    }

    fn u64(self, n: u64) -> Bytes {
        self.raw(&n.to_le_bytes())
    }

    fn text(self, text: &[u8]) -> Bytes {
        self.u64(text.len() as u64).raw(text)
    }

    fn tensor(self, name: &str, shape: &[u64], ty: u32, offset: u64) -> Bytes {
        let mut bytes = self.text(name.as_bytes()).u32(shape.len() as u32);
        for &n in shape {
            bytes = bytes.u64(n);
        }
        bytes.u32(ty).u64(offset)
    }

    /// Pads to the data section and adds that many bytes of it.
    fn data(mut self, len: usize) -> Bytes {
        self.0.resize(self.0.len().next_multiple_of(32) + len, 7);
        self
    }

    fn flaw(self) -> Flaw {
        File::from_bytes(self.0).unwrap_err()
    }
}

fn message(bytes: Bytes) -> String {
    bytes.flaw().to_string()
}

#[test]
fn what_is_not_a_gguf_file_is_named() {
    let begin = |bytes: &[u8]| message(Bytes(bytes.to_vec()));
    assert!(begin(b"").contains("ends at byte 0, inside the header"));
    assert!(begin(b"GGUF\x03\0\0\0").contains("ends at byte 8, inside the header"));
    assert!(begin(b"PK\x03\x04 and so on").contains(r"begins with `PK\x03\x04`"));
    assert!(begin(b"tjgg and so on").contains("formats before GGUF"));
    assert!(begin(&[b"GGUF\0\0\0\x03".as_slice(), &[0; 16]].concat()).contains("big-endian"));
    assert!(begin(b"FUGG").contains("big-endian"));
    assert!(begin(&[b"GGUF\x01\0\0\0".as_slice(), &[0; 16]].concat()).contains("version 1"));
    assert!(begin(&[b"GGUF\x09\0\0\0".as_slice(), &[0; 16]].concat()).contains("version 9"));
}

#[test]
fn versions_2_and_3_are_read_alike() {
    for version in [2, 3] {
        let mut bytes = Bytes::new(1, 0).tensor("t", &[3], 0, 0).data(12);
        bytes.0[4] = version;
        let file = File::from_bytes(bytes.0).unwrap();
        assert_eq!(file.version(), u32::from(version));
        assert_eq!(file.tensor("t").unwrap().1, [7; 12]);
        assert!(file.tensor("u").is_none());
    }
}

#[test]
fn absurd_counts_are_refused_before_anything_is_allocated() {
    let pairs = Bytes::new(0, u64::MAX).flaw();
    assert!(matches!(
        pairs,
        Flaw::Count {
            count: u64::MAX,
            ..
        }
    ));
    let tensors = Bytes::new(1 << 60, 0).flaw();
    assert!(tensors.to_string().contains("1152921504606846976 tensors"));
    let key = Bytes::new(0, 1).u64(u64::MAX - 3).raw(&[b'a'; 30]).flaw();
    assert!(matches!(key, Flaw::Count { .. }), "{key}");
    // Even where the file is long enough for them.
    let many = Bytes::new(0, 70_000).raw(&vec![0; 2_000_000]).flaw();
    assert!(
        many.to_string()
            .contains("70000 metadata entries; no model has more than 65536")
    );
    let many = Bytes::new(2_000_000, 0).raw(&vec![0; 48_000_000]).flaw();
    assert!(matches!(many, Flaw::TooMany { .. }), "{many}");
    for element in 0..=12 {
        let array = Bytes::new(0, 1).text(b"list").u32(9).u32(element);
        let array = array.u64(u64::MAX / 2).raw(&[0; 100]).flaw();
        let said = array.to_string();
        assert!(
            said.contains("9223372036854775807 elements in `list`"),
            "{said}"
        );
    }
}

#[test]
fn unsound_metadata_is_refused() {
    let pair =
        |key: &[u8], ty: u32, value: &[u8]| message(Bytes::new(0, 1).text(key).u32(ty).raw(value));
    assert!(pair(b"\xff\xfe", 0, b"1").contains("the key of metadata entry 1 is not valid UTF-8"));
    let text = Bytes(vec![]).text(b"\xc3(").0;
    assert!(pair(b"name", 8, &text).contains("metadata `name` is not valid UTF-8"));
    let list = Bytes(vec![]).u32(8).u64(2).text(b"a").text(b"\x80").0;
    assert!(pair(b"list", 9, &list).contains("element 1 of `list` is not valid UTF-8"));
    assert!(pair(b"kind", 13, b"0").contains("value type 13"));
    assert!(pair(b"flag", 7, b"\x02").contains("`flag` holds 2"));
    assert!(pair(b"long", 10, b"1234").contains("inside the entry `long`"));
    assert!(pair(b"general.alignment", 4, &[33, 0, 0, 0]).contains("is 33"));
    assert!(pair(b"general.alignment", 4, &[0; 4]).contains("is 0"));
    assert!(pair(b"general.alignment", 6, &[0; 4]).contains("not a whole number"));

    let twice = Bytes::new(0, 2).text(b"a").u32(0).raw(&[1]);
    assert_eq!(
        twice.text(b"a").u32(0).raw(&[1]).flaw(),
        Flaw::DuplicateKey("a".to_owned())
    );
    let deep = (0..100_000).fold(Bytes::new(0, 1).text(b"deep").u32(9), |b, _| {
        b.u32(9).u64(1)
    });
    assert_eq!(deep.flaw(), Flaw::Nesting("deep".to_owned()));
}

#[test]
fn unsound_tensors_are_refused() {
    let one = |shape: &[u64], ty, offset| {
        message(Bytes::new(1, 0).tensor("t", shape, ty, offset).data(64))
    };
    assert!(one(&[2, 2, 2, 2, 2], 0, 0).contains("5 dimensions"));
    assert!(one(&[4, 0], 0, 0).contains("impossible shape [4, 0]"));
    assert!(one(&[1 << 32, 1 << 32], 0, 0).contains("impossible shape"));
    assert!(one(&[u64::MAX, 1], 0, 0).contains("impossible shape"));
    assert!(one(&[16], 99, 0).contains("type 99"));
    assert!(one(&[32], 31, 0).contains("taken out of the format"));
    assert!(one(&[33], 2, 0).contains("rows of 33 numbers, but its type Q4_0 stores 32"));
    assert!(one(&[4], 0, 16).contains("begins at 16, which is not a multiple of 32"));
    assert!(one(&[17], 0, 0).contains("is 68 bytes at 0 of the data, but there are only 64"));
    assert!(one(&[1], 0, u64::MAX - 31).contains("there are only 64"));
    assert!(one(&[1 << 59], 0, 0).contains("there are only 64"));

    let two = |a: &str, at: u64, b: &str, bt: u64| {
        let bytes = Bytes::new(2, 0).tensor(a, &[9], 0, at);
        message(bytes.tensor(b, &[8], 0, bt).data(128))
    };
    assert!(two("a", 0, "a", 64).contains("`a` is given twice"));
    assert!(two("a", 0, "b", 32).contains("`a` and `b` overlap"));
    assert!(two("a", 32, "b", 32).contains("overlap"));
    let count = Bytes::new(u64::from(u32::MAX), 0).tensor("t", &[1], 0, 0);
    assert!(message(count).contains("4294967295 tensors"));
}

#[test]
fn every_shorter_file_is_refused_and_no_change_of_a_byte_does_harm() {
    let mut writer = Writer::default();
    writer.metadata.insert("a", 1u8);
    writer
        .metadata
        .insert("b", Array::String(["x", "yz"].into_iter().collect()));
    writer.metadata.insert(
        "c",
        Array::Array(vec![vec![1u16, 2].into(), vec![true].into()]),
    );
    writer.metadata.insert("d", "text");
    writer.declare("first", &[32, 2], TensorType::Q8_0).unwrap();
    writer.declare("second", &[3], TensorType::F32).unwrap();
    let mut body = writer.begin(Vec::new()).unwrap();
    body.append(&[1; 68]).unwrap();
    body.append(&[2; 12]).unwrap();
    let bytes = body.finish().unwrap();
    // The padding after the last tensor may be missing.
    let needed = bytes.len() - (32 - 12);
    for len in 0..bytes.len() {
        let read = File::from_bytes(bytes[..len].to_vec());
        assert_eq!(read.is_ok(), len >= needed, "{len} of {}", bytes.len());
    }
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            use_all(bytes);
        }
    }
}

/// Reads a file and, if it is sound, every value and every byte of it.
fn use_all(bytes: Vec<u8>) {
    let Ok(file) = File::from_bytes(bytes) else {
        return;
    };
    for (_, value) in file.metadata().iter() {
        if let Value::Array(Array::String(strings)) = value {
            assert_eq!(strings.iter().count(), strings.len());
        }
    }
    for tensor in file.tensors() {
        assert_eq!(file.data(tensor).unwrap().len() as u64, tensor.bytes());
        assert!(file.tensor(&tensor.name).is_some());
    }
}

fn any_array() -> impl Strategy<Value = Array> {
    let flat = prop_oneof![
        any::<Vec<u8>>().prop_map(Array::from),
        any::<Vec<i8>>().prop_map(Array::from),
        any::<Vec<u16>>().prop_map(Array::from),
        any::<Vec<i16>>().prop_map(Array::from),
        any::<Vec<u32>>().prop_map(Array::from),
        any::<Vec<i32>>().prop_map(Array::from),
        any::<Vec<f32>>().prop_map(Array::from),
        any::<Vec<bool>>().prop_map(Array::from),
        any::<Vec<u64>>().prop_map(Array::from),
        any::<Vec<i64>>().prop_map(Array::from),
        any::<Vec<f64>>().prop_map(Array::from),
        any::<Vec<String>>().prop_map(|all| Array::String(all.iter().map(|s| &**s).collect())),
    ];
    flat.prop_recursive(2, 16, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Array::Array)
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<String>().prop_map(|text| Value::from(text.as_str())),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_array().prop_map(Value::from),
    ]
}

type Shaped = (TensorType, Vec<u64>);

fn any_tensors() -> impl Strategy<Value = Vec<Shaped>> {
    let ty = prop::sample::select(TensorType::ALL);
    let shape = prop::collection::vec(1u64..4, 0..=4);
    let tensor = (ty, shape).prop_map(|(ty, mut shape)| {
        if ty.block_len() > 1 && shape.is_empty() {
            shape.push(1);
        }
        if let Some(row) = shape.first_mut() {
            *row *= ty.block_len() as u64;
        }
        (ty, shape)
    });
    prop::collection::vec(tensor, 0..6)
}

/// Fills the tensors with bytes that differ from one to the next.
fn write(writer: Writer) -> Vec<u8> {
    let mut body = writer.begin(Vec::new()).unwrap();
    while let Some(tensor) = body.next() {
        let (first, bytes) = (tensor.name.len() as u8, tensor.bytes());
        let data: Vec<u8> = (0..bytes).map(|i| first.wrapping_add(i as u8)).collect();
        // In two pieces.
        let (a, b) = data.split_at(data.len() / 3);
        body.append(a).unwrap();
        body.append(b).unwrap();
    }
    body.finish().unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        pairs in prop::collection::hash_map("[a-z.]{1,12}", any_value(), 0..8),
        tensors in any_tensors(),
        alignment in prop::option::of(0u32..8),
    ) {
        let mut metadata: Metadata = pairs.into_iter().collect();
        if let Some(power) = alignment {
            metadata.insert("general.alignment", 1u32 << power);
        }
        let mut writer = Writer::new(metadata);
        for (i, (ty, shape)) in tensors.iter().enumerate() {
            writer.declare(&"t".repeat(i + 1), shape, *ty).unwrap();
        }
        let bytes = write(writer.clone());
        let file = File::from_bytes(bytes).unwrap();
        // Compared as text, because NaN equals nothing.
        let text = |metadata: &Metadata| format!("{:?}", metadata.iter().collect::<Vec<_>>());
        prop_assert_eq!(text(file.metadata()), text(&writer.metadata));
        prop_assert_eq!(file.tensors().len(), tensors.len());
        for (tensor, (ty, shape)) in file.tensors().iter().zip(&tensors) {
            prop_assert_eq!((tensor.ty, &tensor.shape), (*ty, shape));
            prop_assert!(tensor.offset.is_multiple_of(file.alignment()));
            let (_, data) = file.tensor(&tensor.name).unwrap();
            prop_assert_eq!(data[0], tensor.name.len() as u8);
            prop_assert_eq!(data.len() as u64, tensor.bytes());
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in any::<Vec<u8>>(), version in 2u8..4) {
        use_all([&[b'G', b'G', b'U', b'F', version, 0, 0, 0], &*bytes].concat());
        use_all(bytes);
    }

    #[test]
    fn no_bytes_after_sensible_counts_do_harm(
        tensors in 0u64..4, pairs in 0u64..4, bytes in prop::collection::vec(0u8..16, 0..400),
    ) {
        use_all(Bytes::new(tensors, pairs).raw(&bytes).0);
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut writer = Writer::default();
    writer.declare("t", &[32], TensorType::Q4_0).unwrap();
    let again = writer.declare("t", &[32], TensorType::Q4_0);
    assert_eq!(again, Err(Flaw::DuplicateTensor("t".to_owned())));
    assert!(matches!(
        writer.declare("u", &[31], TensorType::Q4_0),
        Err(Flaw::Row { .. })
    ));
    assert!(matches!(
        writer.declare("u", &[0], TensorType::F32),
        Err(Flaw::Shape { .. })
    ));
    assert!(writer.declare("u", &[1; 5], TensorType::F32).is_err());

    let mut body = writer.clone().begin(Vec::new()).unwrap();
    let long = body.append(&[0; 19]).unwrap_err().to_string();
    assert_eq!(long, "1 bytes too many were given for the tensors");
    body.append(&[0; 17]).unwrap();
    assert_eq!(
        body.finish().unwrap_err().to_string(),
        "tensor `t` needs 1 bytes more"
    );
    writer.metadata.insert("general.alignment", 12u32);
    assert!(
        writer
            .begin(Vec::new())
            .unwrap_err()
            .to_string()
            .contains("is 12")
    );
}

/// Writes a model in parts and gives back their paths.
fn parts(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut writer = Writer::default();
    writer.metadata.insert("general.name", "split");
    for i in 1..=5 {
        writer
            .declare(&"t".repeat(i), &[32], TensorType::F32)
            .unwrap();
    }
    let parts = writer.split(256);
    let count = parts.len() as u64;
    assert_eq!(count, 3);
    let name = |no: usize| folder.join(part_name("model", no as u64, count));
    let paths: Vec<_> = (0..parts.len()).map(name).collect();
    for (part, path) in parts.into_iter().zip(&paths) {
        fs::write(path, write(part)).unwrap();
    }
    paths
}

#[test]
fn a_split_model_is_opened_by_any_of_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    for path in parts(folder.path()) {
        let file = File::open(path).unwrap();
        assert_eq!((file.parts(), file.tensors().len()), (3, 5));
        assert_eq!(file.metadata().text("general.name"), Ok(Some("split")));
        for i in 1..=5u8 {
            let (tensor, data) = file.tensor(&"t".repeat(i.into())).unwrap();
            assert_eq!((data.len(), data[0]), (128, i), "{tensor:?}");
        }
    }
}

#[test]
fn a_model_knows_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let paths = parts(folder.path());
    let file = File::open(&paths[1]).unwrap();
    assert!(paths.iter().all(|path| file.is_at(path)));
    let link = folder.path().join("link.gguf");
    fs::hard_link(&paths[2], &link).unwrap();
    assert!(file.is_at(&link));
    let other = folder.path().join("other.gguf");
    fs::copy(&paths[2], &other).unwrap();
    assert!(!file.is_at(&other) && !file.is_at(&folder.path().join("none")));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [pipe.as_path(), std::path::Path::new("/dev/zero")] {
        let error = File::open(path).unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");
        assert!(error.to_string().contains("a plain file only"), "{error}");
    }
}

#[test]
fn a_split_model_that_does_not_fit_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = parts(folder.path());
    let problem = |path: &std::path::Path| match File::open(path).unwrap_err() {
        Error::Split { problem, .. } => problem,
        other => panic!("{other}"),
    };

    let alone = folder.path().join("renamed.gguf");
    fs::copy(&paths[1], &alone).unwrap();
    assert!(problem(&alone).contains("does not end in `-00002-of-00003.gguf`"));

    let last = fs::read(&paths[2]).unwrap();
    fs::copy(&paths[1], &paths[2]).unwrap();
    assert!(problem(&paths[0]).contains("is part 2 of 3, where part 3 of 3 must be"));
    fs::remove_file(&paths[2]).unwrap();
    assert!(problem(&paths[0]).contains("model-00003-of-00003.gguf` cannot be opened"));
    fs::write(&paths[2], &last[..20]).unwrap();
    assert!(matches!(File::open(&paths[0]), Err(Error::Bad { path, .. }) if path == paths[2]));

    // The third part with a tensor of the first.
    let mut third = Writer::default();
    third.metadata.insert("split.no", 2u16);
    third.metadata.insert("split.count", 3u16);
    third.declare("t", &[32], TensorType::F32).unwrap();
    fs::write(&paths[2], write(third.clone())).unwrap();
    assert_eq!(problem(&paths[0]), "tensor `t` is in part 1 and in part 3");
    let mut third = Writer::new(third.metadata);
    third.declare("other", &[32], TensorType::F32).unwrap();
    third.declare("more", &[1], TensorType::F32).unwrap();
    fs::write(&paths[2], write(third)).unwrap();
    assert!(problem(&paths[0]).contains("6 tensors together, where 5 must be"));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = File::open(folder.path().join("none.gguf")).unwrap_err();
    assert!(nothing.to_string().contains("none.gguf"), "{nothing}");
    assert!(File::open(folder.path()).is_err());
    let empty = folder.path().join("empty.gguf");
    fs::write(&empty, b"").unwrap();
    let empty = File::open(empty).unwrap_err().to_string();
    assert!(
        empty.contains("not a sound GGUF file: it ends at byte 0"),
        "{empty}"
    );
}
