//! What kind of file an executable is, by its first bytes: a script (such as a pyenv shim) or a
//! program, and for which processors.

use std::{fs::File, io, io::Read as _, path::Path};

use crate::types::Arch;

/// The kind of an executable file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Executable {
    /// `#!` and an interpreter.
    Script,
    /// A program, with the processors it is for; several in a universal one.
    Program(Vec<Machine>),
    /// Neither.
    Other,
}

/// The processor a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    Known(Arch),
    /// 32-bit or of another kind.
    Foreign,
}

/// Reads the head of a file.
pub(super) fn read(path: &Path) -> io::Result<Executable> {
    let mut head = Vec::with_capacity(4096);
    File::open(path)?.take(4096).read_to_end(&mut head)?;
    Ok(classify(&head))
}

/// ELF, PE and Mach-O each name the machine at a fixed place.
fn classify(head: &[u8]) -> Executable {
    let program = |machine: Option<Machine>| match machine {
        Some(machine) => Executable::Program(vec![machine]),
        None => Executable::Other,
    };
    match head {
        [b'#', b'!', ..] => Executable::Script,
        [0x7f, b'E', b'L', b'F', ..] => program(le16(head, 18).map(|machine| match machine {
            62 => Machine::Known(Arch::X86_64),
            183 => Machine::Known(Arch::Aarch64),
            _ => Machine::Foreign,
        })),
        [b'M', b'Z', ..] => program(pe_machine(head)),
        [0xcf, 0xfa, 0xed, 0xfe, ..] => program(le32(head, 4).map(mach_cpu)),
        // A universal program: big-endian, one entry of 20 bytes for each processor.
        [0xca, 0xfe, 0xba, 0xbe, ..] => {
            let count = be32(head, 4).unwrap_or(0).min(16) as usize;
            let machines: Vec<_> = (0..count)
                .filter_map(|index| be32(head, 8 + index * 20).map(mach_cpu))
                .collect();
            if machines.is_empty() {
                Executable::Other
            } else {
                Executable::Program(machines)
            }
        }
        _ => Executable::Other,
    }
}

/// The PE header lies where the DOS header says.
fn pe_machine(head: &[u8]) -> Option<Machine> {
    let start = le32(head, 0x3c)? as usize;
    if head.get(start..start.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    Some(match le16(head, start + 4)? {
        0x8664 => Machine::Known(Arch::X86_64),
        0xaa64 => Machine::Known(Arch::Aarch64),
        _ => Machine::Foreign,
    })
}

fn mach_cpu(cpu: u32) -> Machine {
    match cpu {
        0x0100_0007 => Machine::Known(Arch::X86_64),
        0x0100_000c => Machine::Known(Arch::Aarch64),
        _ => Machine::Foreign,
    }
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn le16(head: &[u8], at: usize) -> Option<u16> {
    bytes(head, at).map(u16::from_le_bytes)
}

fn le32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_le_bytes)
}

fn be32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_be_bytes)
}

/// The start of a minimal program for this processor, for fixtures.
#[cfg(test)]
pub(super) fn elf_for(arch: Arch) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(64, 0);
    head[18] = match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    };
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(classify(b"#!/usr/bin/env bash\n"), Executable::Script);
        assert_eq!(classify(b"hello"), Executable::Other);
        assert_eq!(
            classify(&elf_for(Arch::Aarch64)),
            Executable::Program(vec![Machine::Known(Arch::Aarch64)])
        );
        let mut pe = vec![0_u8; 0x90];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x86].copy_from_slice(&[b'P', b'E', 0, 0, 0x4c, 0x01]);
        assert_eq!(classify(&pe), Executable::Program(vec![Machine::Foreign]));
        let mut universal = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        universal.extend([1, 0, 0, 7].iter().chain(&[0; 16]));
        universal.extend([1, 0, 0, 12].iter().chain(&[0; 16]));
        assert_eq!(
            classify(&universal),
            Executable::Program(vec![
                Machine::Known(Arch::X86_64),
                Machine::Known(Arch::Aarch64)
            ])
        );
    }

    #[test]
    fn this_program() {
        let machines = match read(&std::env::current_exe().unwrap()).unwrap() {
            Executable::Program(machines) => machines,
            other => panic!("{other:?}"),
        };
        assert!(machines.contains(&Machine::Known(crate::host::cpu::arch())));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_classified(
            magic in prop::sample::select(vec![
                b"\x7fELF".to_vec(), b"MZ".to_vec(),
                vec![0xcf, 0xfa, 0xed, 0xfe], vec![0xca, 0xfe, 0xba, 0xbe],
            ]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = classify(&[magic, rest].concat());
        }
    }
}
