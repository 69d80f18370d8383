//! Archives that must be refused. Their digests are right: the index serves exactly these bytes,
//! so that only the look into the archive can tell.
//!
//! Every one is the wheel of [`Wheel::command`] with one thing wrong, written by hand since no
//! library would write it.

use flate2::{Compression, write::DeflateEncoder};
use std::io::Write as _;

use super::{
    dist::Dist,
    tree::{Entry, tar_gz},
    wheel::{Member, Wheel},
};

/// A zip member with everything that can be lied about.
struct RawMember {
    name: String,
    data: Vec<u8>,
    /// Unix mode, file type included.
    mode: u32,
    /// Size the headers state; the true one when absent.
    stated_size: Option<u32>,
    /// CRC the headers state; the true one when absent.
    stated_crc: Option<u32>,
}

impl RawMember {
    fn file(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            data: data.into(),
            mode: 0o100_644,
            stated_size: None,
            stated_crc: None,
        }
    }

    fn symlink(name: &str, target: &str) -> Self {
        Self {
            mode: 0o120_777,
            ..Self::file(name, target)
        }
    }
}

impl From<Member> for RawMember {
    fn from(member: Member) -> Self {
        Self {
            mode: 0o100_000 | member.mode,
            ..Self::file(&member.path, member.bytes)
        }
    }
}

/// Writes a zip archive (APPNOTE 4.3) without asking whether it makes sense.
fn raw_zip(members: &[RawMember]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::best());
        deflater.write_all(&member.data).unwrap();
        let packed = deflater.finish().unwrap();
        let crc = member
            .stated_crc
            .unwrap_or_else(|| crc32fast::hash(&member.data));
        let size = member.stated_size.unwrap_or(member.data.len() as u32);
        let offset = out.len() as u32;

        // The part both headers share: version, flags, method, time, date, crc, sizes, name length.
        let mut shared = Vec::new();
        for half in [20_u16, 0x0800, 8, 0, 0x21] {
            shared.extend(half.to_le_bytes());
        }
        for word in [crc, packed.len() as u32, size] {
            shared.extend(word.to_le_bytes());
        }
        shared.extend((member.name.len() as u16).to_le_bytes());
        shared.extend(0_u16.to_le_bytes());

        out.extend(b"PK\x03\x04");
        out.extend(&shared);
        out.extend(member.name.as_bytes());
        out.extend(&packed);

        directory.extend(b"PK\x01\x02");
        directory.extend(0x0314_u16.to_le_bytes());
        directory.extend(&shared);
        directory.extend([0; 6]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// The wheel that all hostile wheels are made from.
pub fn victim(name: &str) -> Wheel {
    Wheel::command(name, "1.0")
}

fn with_extra(wheel: &Wheel, extra: Vec<RawMember>) -> Dist {
    // Hostile members first: an installer that stops at `RECORD` has already written them.
    let mut members = extra;
    members.extend(wheel.members().into_iter().map(RawMember::from));
    wheel.dist(raw_zip(&members))
}

/// A sound wheel by the same hand, so that a refusal is known to be for the right reason.
pub fn sound(name: &str) -> Dist {
    with_extra(&victim(name), Vec::new())
}

/// A member with an absolute path. `path` is where the test looks for it afterwards.
pub fn absolute_path(name: &str, path: &str) -> Dist {
    with_extra(&victim(name), vec![RawMember::file(path, "escaped")])
}

/// A member above the folder.
pub fn parent_path(name: &str) -> Dist {
    let path = "../../../../../escaped.txt";
    with_extra(&victim(name), vec![RawMember::file(path, "escaped")])
}

/// A member above the folder, by backslashes, which are separators on Windows.
pub fn backslash_path(name: &str) -> Dist {
    let path = "..\\..\\..\\escaped.txt";
    with_extra(&victim(name), vec![RawMember::file(path, "escaped")])
}

/// A symbolic link to a folder outside, and a member that would be written through it.
pub fn symlink_out(name: &str, outside: &str) -> Dist {
    with_extra(
        &victim(name),
        vec![
            RawMember::symlink("door", outside),
            RawMember::file("door/escaped.txt", "escaped"),
        ],
    )
}

/// A member of 64 MB that says it has ten bytes.
pub fn bomb(name: &str) -> Dist {
    let mut member = RawMember::file("big.bin", vec![0; 64 << 20]);
    member.stated_size = Some(10);
    with_extra(&victim(name), vec![member])
}

/// The same path twice, with different content.
pub fn duplicate(name: &str) -> Dist {
    with_extra(
        &victim(name),
        vec![
            RawMember::file("twice.py", "good = True\n"),
            RawMember::file("twice.py", "good = False\n"),
        ],
    )
}

/// Two paths that are one file where case does not count.
pub fn case_colliding(name: &str) -> Dist {
    with_extra(
        &victim(name),
        vec![
            RawMember::file("Case.py", "good = True\n"),
            RawMember::file("case.py", "good = False\n"),
        ],
    )
}

/// A wheel that ends in the middle.
pub fn truncated(name: &str) -> Dist {
    let mut dist = victim(name).build();
    dist.bytes.truncate(dist.bytes.len() / 2);
    dist
}

/// A member whose checksum is wrong.
pub fn bad_crc(name: &str) -> Dist {
    let mut member = RawMember::file("damaged.py", "whole = True\n");
    member.stated_crc = Some(0xdead_beef);
    with_extra(&victim(name), vec![member])
}

/// `RECORD` states another digest for a member than the member has.
pub fn wrong_record(name: &str) -> Dist {
    let wheel = victim(name);
    let mut members: Vec<RawMember> = wheel.members().into_iter().map(Into::into).collect();
    // The first member is the module, which RECORD lists.
    members[0].data.extend(b"\nimport os  # added on the way\n");
    wheel.dist(raw_zip(&members))
}

/// Something that is no archive at all.
pub fn not_a_zip(name: &str) -> Dist {
    victim(name).dist(b"<html>this is not a wheel</html>".repeat(40))
}

/// A source distribution with a member above its folder.
pub fn sdist_parent_path(name: &str) -> Dist {
    let sdist = super::Sdist::command(name, "1.0");
    let mut entries = sdist.entries();
    entries.insert(0, Entry::file("../../../escaped.txt", "escaped"));
    sdist.dist(tar_gz(&format!("{name}-1.0"), &entries))
}

/// A source distribution with a link to a folder outside and a member behind it.
pub fn sdist_symlink_out(name: &str, outside: &str) -> Dist {
    let sdist = super::Sdist::command(name, "1.0");
    let mut entries = sdist.entries();
    entries.insert(0, Entry::symlink("door", outside));
    entries.insert(1, Entry::file("door/escaped.txt", "escaped"));
    sdist.dist(tar_gz(&format!("{name}-1.0"), &entries))
}
