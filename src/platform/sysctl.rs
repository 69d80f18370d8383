//! The kernel's named values on macOS (`sysctlbyname(3)`).

use std::{ffi::CString, io, ptr};

/// A text value: `machdep.cpu.brand_string`.
pub fn text(name: &str) -> io::Result<String> {
    let bytes = read(name)?;
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// A number of four or eight bytes: `hw.memsize`.
pub fn number(name: &str) -> io::Result<u64> {
    let bytes = read(name)?;
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes.as_slice()) {
        return Ok(u64::from_ne_bytes(bytes));
    }
    <[u8; 4]>::try_from(bytes.as_slice())
        .map(|bytes| u32::from_ne_bytes(bytes).into())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn read(name: &str) -> io::Result<Vec<u8>> {
    let name = CString::new(name)?;
    let mut length = 0;
    // SAFETY: with no buffer the call only tells the length.
    let code = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            ptr::null_mut(),
            &mut length,
            ptr::null_mut(),
            0,
        )
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut bytes = vec![0_u8; length];
    // SAFETY: the buffer has the length that is passed, which the call does not exceed.
    let code = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            bytes.as_mut_ptr().cast(),
            &mut length,
            ptr::null_mut(),
            0,
        )
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    bytes.truncate(length);
    Ok(bytes)
}
