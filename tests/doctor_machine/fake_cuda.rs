//! A CUDA driver library without a GPU, compiled by the tests and found by the loader under the
//! name of the real one. It computes what the kernel computes, on the processor, and fails or
//! hangs where the variable `FAKE_GPU` tells it to: `cuInit=100`, `cuLaunchKernel=hang`,
//! `cuLaunchKernel=wrong`, `cuMemAlloc_v2=abort`.

#![allow(non_snake_case)]

use std::{
    alloc::{Layout, alloc, dealloc},
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    sync::Mutex,
};

static SIZES: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

/// What is planned for a call.
fn planned(call: &str) -> Option<String> {
    let plan = std::env::var("FAKE_GPU").ok()?;
    plan.split(',').find_map(|entry| {
        let (name, what) = entry.split_once('=')?;
        (name == call).then(|| what.to_owned())
    })
}

/// The code a call returns, after what is planned for it has happened.
fn outcome(call: &str) -> c_int {
    match planned(call).as_deref() {
        Some("hang") => loop {
            std::thread::park();
        },
        Some("abort") => {
            eprintln!("fake driver: assertion failed");
            std::process::abort()
        }
        Some(code) => code.parse().unwrap_or(0),
        None => 0,
    }
}

fn get(bytes: usize) -> *mut u8 {
    let memory = unsafe { alloc(Layout::from_size_align(bytes, 64).unwrap()) };
    SIZES
        .lock()
        .unwrap()
        .get_or_insert_default()
        .insert(memory as usize, bytes);
    memory
}

fn give(memory: *mut u8) -> c_int {
    match SIZES.lock().unwrap().get_or_insert_default().remove(&(memory as usize)) {
        Some(bytes) => {
            unsafe { dealloc(memory, Layout::from_size_align(bytes, 64).unwrap()) };
            0
        }
        None => 1,
    }
}

#[unsafe(no_mangle)]
pub extern "system" fn cuInit(flags: c_uint) -> c_int {
    println!("a driver library may print what it likes");
    if flags != 0 { 1 } else { outcome("cuInit") }
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    unsafe { *version = 13000 };
    outcome("cuDriverGetVersion")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    let count_told = planned("count").and_then(|count| count.parse().ok());
    unsafe { *count = count_told.unwrap_or(1) };
    outcome("cuDeviceGetCount")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDeviceGet(device: *mut c_int, index: c_int) -> c_int {
    unsafe { *device = 40 + index };
    outcome("cuDeviceGet")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDeviceGetName(
    name: *mut c_char,
    length: c_int,
    device: c_int,
) -> c_int {
    let text = format!("Fake GPU {}\0", device - 40);
    if text.len() > length as usize {
        return 1;
    }
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), name.cast(), text.len()) };
    outcome("cuDeviceGetName")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDeviceGetAttribute(
    value: *mut c_int,
    which: c_int,
    _device: c_int,
) -> c_int {
    let told = match which {
        20 => 0,
        75 => 8,
        76 => 9,
        _ => return 1,
    };
    unsafe { *value = told };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> c_int {
    unsafe { *bytes = 24 << 30 };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuDevicePrimaryCtxRetain(
    context: *mut *mut c_void,
    device: c_int,
) -> c_int {
    unsafe { *context = device as usize as *mut c_void };
    outcome("cuDevicePrimaryCtxRetain")
}

#[unsafe(no_mangle)]
pub extern "system" fn cuCtxSetCurrent(context: *mut c_void) -> c_int {
    if context.is_null() { 1 } else { 0 }
}

#[unsafe(no_mangle)]
pub extern "system" fn cuCtxSynchronize() -> c_int {
    outcome("cuCtxSynchronize")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    unsafe {
        *free = 32 << 20;
        *total = 24 << 30;
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuModuleLoadData(
    module: *mut *mut c_void,
    image: *const c_void,
) -> c_int {
    let text = unsafe { CStr::from_ptr(image.cast()) }.to_string_lossy();
    if !text.contains(".version") || !text.contains(".visible .entry aienv_probe") {
        return 218;
    }
    unsafe { *module = 7 as *mut c_void };
    outcome("cuModuleLoadData")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    module: *mut c_void,
    name: *const c_char,
) -> c_int {
    let name = unsafe { CStr::from_ptr(name) };
    if module as usize != 7 || name.to_bytes() != b"aienv_probe" {
        return 500;
    }
    unsafe { *function = 8 as *mut c_void };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuLaunchKernel(
    function: *mut c_void,
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
    if function as usize != 8 {
        return 400;
    }
    let (out, count, seed) = unsafe {
        (
            *(*parameters).cast::<u64>() as *mut u32,
            *(*parameters.add(1)).cast::<u32>(),
            *(*parameters.add(2)).cast::<u32>(),
        )
    };
    for index in 0..count.min(grid * block) {
        let value = index.wrapping_mul(0x9E37_79B1).wrapping_add(seed);
        unsafe { *out.add(index as usize) = value };
    }
    if planned("cuLaunchKernel").as_deref() == Some("wrong") {
        unsafe { *out.add(4711) ^= 1 };
        return 0;
    }
    outcome("cuLaunchKernel")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    unsafe { *address = get(bytes) as u64 };
    outcome("cuMemAlloc_v2")
}

#[unsafe(no_mangle)]
pub extern "system" fn cuMemFree_v2(address: u64) -> c_int {
    give(address as *mut u8)
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemAllocHost_v2(pointer: *mut *mut c_void, bytes: usize) -> c_int {
    unsafe { *pointer = get(bytes).cast() };
    0
}

#[unsafe(no_mangle)]
pub extern "system" fn cuMemFreeHost(pointer: *mut c_void) -> c_int {
    give(pointer.cast())
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemsetD8_v2(address: u64, byte: u8, count: usize) -> c_int {
    unsafe { (address as *mut u8).write_bytes(byte, count) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> c_int {
    unsafe { std::ptr::copy(from.cast::<u8>(), to as *mut u8, bytes) };
    outcome("cuMemcpyHtoD_v2")
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> c_int {
    unsafe { std::ptr::copy(from as *const u8, to.cast(), bytes) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> c_int {
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuGetErrorName(code: c_int, name: *mut *const c_char) -> c_int {
    let text = match code {
        100 => c"CUDA_ERROR_NO_DEVICE",
        802 => c"CUDA_ERROR_SYSTEM_NOT_READY",
        999 => c"CUDA_ERROR_UNKNOWN",
        _ => return 1,
    };
    unsafe { *name = text.as_ptr() };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "system" fn cuGetErrorString(_code: c_int, text: *mut *const c_char) -> c_int {
    unsafe { *text = c"a text of the driver".as_ptr() };
    0
}
