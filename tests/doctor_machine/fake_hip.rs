//! A HIP runtime without a GPU, and its compiler: the same library serves under both names. What
//! the variable `FAKE_GPU` plans happens, as in the CUDA one.

#![allow(non_snake_case)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

fn planned(call: &str) -> Option<String> {
    let plan = std::env::var("FAKE_GPU").ok()?;
    plan.split(',').find_map(|entry| {
        let (name, what) = entry.split_once('=')?;
        (name == call).then(|| what.to_owned())
    })
}

fn outcome(call: &str) -> c_int {
    planned(call).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Memory is never given back: the process is short.
fn get(bytes: usize) -> *mut c_void {
    Box::leak(vec![0_u8; bytes].into_boxed_slice()).as_mut_ptr().cast()
}

#[unsafe(no_mangle)]
pub extern "C" fn hipInit(_flags: c_uint) -> c_int {
    outcome("hipInit")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipRuntimeGetVersion(version: *mut c_int) -> c_int {
    unsafe { *version = 60_443_483 };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetDeviceCount(count: *mut c_int) -> c_int {
    unsafe { *count = 1 };
    outcome("hipGetDeviceCount")
}

#[unsafe(no_mangle)]
pub extern "C" fn hipSetDevice(_device: c_int) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipDeviceGetName(name: *mut c_char, _length: c_int, _device: c_int) -> c_int {
    let text = b"Fake Radeon\0";
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast(), text.len()) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipDeviceTotalMem(bytes: *mut usize, _device: c_int) -> c_int {
    unsafe { *bytes = 16 << 30 };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipMemGetInfo(free: *mut usize, total: *mut usize) -> c_int {
    unsafe {
        *free = 32 << 20;
        *total = 16 << 30;
    }
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn hipDeviceSynchronize() -> c_int {
    outcome("hipDeviceSynchronize")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipMalloc(pointer: *mut *mut c_void, bytes: usize) -> c_int {
    unsafe { *pointer = get(bytes) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn hipFree(_pointer: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipHostMalloc(
    pointer: *mut *mut c_void,
    bytes: usize,
    _flags: c_uint,
) -> c_int {
    unsafe { *pointer = get(bytes) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn hipHostFree(_pointer: *mut c_void) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipMemset(to: *mut c_void, value: c_int, bytes: usize) -> c_int {
    unsafe { to.cast::<u8>().write_bytes(value as u8, bytes) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipMemcpy(
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
    kind: c_int,
) -> c_int {
    if !(1..=3).contains(&kind) {
        return 21;
    }
    unsafe { std::ptr::copy(from.cast::<u8>(), to.cast(), bytes) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipModuleLoadData(module: *mut *mut c_void, image: *const c_void) -> c_int {
    let code = unsafe { std::slice::from_raw_parts(image.cast::<u8>(), 4) };
    if code != b"code" {
        return 200;
    }
    unsafe { *module = 7 as *mut c_void };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipModuleGetFunction(
    function: *mut *mut c_void,
    _module: *mut c_void,
    _name: *const c_char,
) -> c_int {
    unsafe { *function = 8 as *mut c_void };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipModuleLaunchKernel(
    _function: *mut c_void,
    grid: c_uint,
    _grid_y: c_uint,
    _grid_z: c_uint,
    block: c_uint,
    _block_y: c_uint,
    _block_z: c_uint,
    _shared: c_uint,
    _stream: *mut c_void,
    parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    let (out, count, seed) = unsafe {
        (
            *(*parameters).cast::<*mut u32>(),
            *(*parameters.add(1)).cast::<u32>(),
            *(*parameters.add(2)).cast::<u32>(),
        )
    };
    for index in 0..count.min(grid * block) {
        let value = index.wrapping_mul(0x9E37_79B1).wrapping_add(seed);
        unsafe { *out.add(index as usize) = value };
    }
    outcome("hipModuleLaunchKernel")
}

#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorName(code: c_int) -> *const c_char {
    match code {
        719 => c"hipErrorLaunchFailure".as_ptr(),
        _ => c"hipErrorUnknown".as_ptr(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorString(_code: c_int) -> *const c_char {
    c"a text of the runtime".as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcCreateProgram(
    program: *mut *mut c_void,
    source: *const c_char,
    _name: *const c_char,
    _count: c_int,
    _headers: *const *const c_char,
    _names: *const *const c_char,
) -> c_int {
    let source = unsafe { CStr::from_ptr(source) }.to_string_lossy();
    if !source.contains("__global__ void aienv_probe(") {
        return 6;
    }
    unsafe { *program = 5 as *mut c_void };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn hiprtcCompileProgram(
    _program: *mut c_void,
    _count: c_int,
    _options: *const *const c_char,
) -> c_int {
    outcome("hiprtcCompileProgram")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetCodeSize(_program: *mut c_void, size: *mut usize) -> c_int {
    unsafe { *size = 4 };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetCode(_program: *mut c_void, code: *mut c_char) -> c_int {
    unsafe { std::ptr::copy_nonoverlapping(b"code".as_ptr(), code.cast(), 4) };
    0
}

const LOG: &[u8] = b"error: no such target\0";

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetProgramLogSize(_program: *mut c_void, size: *mut usize) -> c_int {
    unsafe { *size = LOG.len() };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn hiprtcGetProgramLog(_program: *mut c_void, log: *mut c_char) -> c_int {
    unsafe { std::ptr::copy_nonoverlapping(LOG.as_ptr(), log.cast(), LOG.len()) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn hiprtcGetErrorString(_code: c_int) -> *const c_char {
    c"HIPRTC_ERROR_COMPILATION".as_ptr()
}
