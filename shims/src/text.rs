//! Percent escapes: any bytes a path or an argument can hold, on one line, split by single spaces.
//!
//! Everything but visible ASCII, and `%` itself, is written as `%` and two hexadecimal digits.

use std::ffi::{OsStr, OsString};

/// Appends the escaped form of a value.
pub(crate) fn escape(out: &mut String, value: &OsStr) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in value.as_encoded_bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Reads an escaped value back; `None` when it is not one, or holds a NUL byte, which no
/// operating system passes to a program.
pub(crate) fn unescape(text: &str) -> Option<OsString> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            byte if byte.is_ascii_graphic() => byte,
            _ => return None,
        };
        if byte == 0 {
            return None;
        }
        bytes.push(byte);
    }
    from_bytes(bytes)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Bytes as `OsStr::as_encoded_bytes` gives them, as a string of the operating system.
#[cfg(unix)]
pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

/// Bytes as `OsStr::as_encoded_bytes` gives them, as a string of the operating system. Unpaired
/// surrogates, which Windows allows in names, are refused.
#[cfg(not(unix))]
pub(crate) fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

/// The value with every occurrence of `from` replaced.
pub(crate) fn replace(value: &OsStr, from: &str, to: &str) -> OsString {
    let (bytes, from) = (value.as_encoded_bytes(), from.as_bytes());
    let mut out = Vec::with_capacity(bytes.len() + to.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if rest.starts_with(from) {
            out.extend_from_slice(to.as_bytes());
            rest = &rest[from.len()..];
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    from_bytes(out).unwrap_or_else(|| value.to_owned())
}
