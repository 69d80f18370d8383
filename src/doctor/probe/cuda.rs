//! CUDA, by its driver API: the calls that every CUDA program makes first, in the same order.
//!
//! Signatures are those of NVIDIA's CUDA Driver API reference. Functions with a suffix (`_v2`) are
//! what programs compiled since CUDA 3.2 call under the plain name.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::{
    DeviceFacts, Trouble,
    event::{Event, calling, tell, try_device},
    library::Library,
    work::{self, BLOCK, COUNT, Device},
};
use crate::host::cuda_libraries;

/// The kernel, compiled by the driver when it is loaded.
const KERNEL: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("kernel.ptx"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("the kernel's text has no NUL inside"),
    };

/// `CUdevice_attribute` values.
const COMPUTE_MODE: c_int = 20;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

type Status = c_int;
type Context = *mut c_void;
type Handle = *mut c_void;
type Address = u64;

/// Declares the table of functions and how it is read from the library.
macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        struct Functions {
            $($field: unsafe extern "system" fn($($argument),*) -> Status,)*
        }

        impl Functions {
            fn of(library: &Library) -> Result<Self, Trouble> {
                // SAFETY: each type is the signature in the Driver API reference.
                unsafe { Ok(Self { $($field: library.function($symbol)?,)* }) }
            }
        }
    };
}

functions! {
    init = "cuInit": fn(c_uint);
    driver_get_version = "cuDriverGetVersion": fn(*mut c_int);
    device_get_count = "cuDeviceGetCount": fn(*mut c_int);
    device_get = "cuDeviceGet": fn(*mut c_int, c_int);
    device_get_name = "cuDeviceGetName": fn(*mut c_char, c_int, c_int);
    device_get_attribute = "cuDeviceGetAttribute": fn(*mut c_int, c_int, c_int);
    device_total_mem = "cuDeviceTotalMem_v2": fn(*mut usize, c_int);
    primary_retain = "cuDevicePrimaryCtxRetain": fn(*mut Context, c_int);
    ctx_set_current = "cuCtxSetCurrent": fn(Context);
    ctx_synchronize = "cuCtxSynchronize": fn();
    mem_get_info = "cuMemGetInfo_v2": fn(*mut usize, *mut usize);
    module_load_data = "cuModuleLoadData": fn(*mut Handle, *const c_void);
    module_get_function = "cuModuleGetFunction": fn(*mut Handle, Handle, *const c_char);
    launch_kernel = "cuLaunchKernel": fn(
        Handle,
        c_uint, c_uint, c_uint,
        c_uint, c_uint, c_uint,
        c_uint, Handle, *mut *mut c_void, *mut *mut c_void
    );
    mem_alloc = "cuMemAlloc_v2": fn(*mut Address, usize);
    mem_free = "cuMemFree_v2": fn(Address);
    mem_alloc_host = "cuMemAllocHost_v2": fn(*mut *mut c_void, usize);
    mem_free_host = "cuMemFreeHost": fn(*mut c_void);
    memset = "cuMemsetD8_v2": fn(Address, u8, usize);
    memcpy_to_device = "cuMemcpyHtoD_v2": fn(Address, *const c_void, usize);
    memcpy_to_host = "cuMemcpyDtoH_v2": fn(*mut c_void, Address, usize);
    memcpy_on_device = "cuMemcpyDtoD_v2": fn(Address, Address, usize);
    get_error_name = "cuGetErrorName": fn(Status, *mut *const c_char);
    get_error_string = "cuGetErrorString": fn(Status, *mut *const c_char);
}

/// Tries every CUDA device, telling the parent as it goes.
pub(super) fn probe() -> Result<(), Trouble> {
    let library = Library::open(cuda_libraries())?;
    tell(&Event::Library {
        path: library.file(),
    });
    let cuda = Cuda {
        functions: Functions::of(&library)?,
    };
    let f = &cuda.functions;
    let mut version = 0;
    // SAFETY: the pointer is to a live integer. This call needs no initialisation.
    cuda.call("cuDriverGetVersion", || unsafe {
        (f.driver_get_version)(&mut version)
    })?;
    tell(&Event::Version {
        version: format!("{}.{}", version / 1000, version % 1000 / 10),
    });
    // SAFETY: the only flag there is is none.
    cuda.call("cuInit", || unsafe { (f.init)(0) })?;
    let mut count = 0;
    // SAFETY: the pointer is to a live integer.
    cuda.call("cuDeviceGetCount", || unsafe {
        (f.device_get_count)(&mut count)
    })?;
    if count <= 0 {
        return Err(Trouble::NoDevice);
    }
    for index in 0..count {
        let (device, facts) = cuda.describe(index)?;
        try_device(facts, || work::exercise(&Gpu::open(&cuda, device)?));
    }
    Ok(())
}

struct Cuda {
    functions: Functions,
}

impl Cuda {
    /// Announces a call, makes it, and names it where it fails.
    fn call(&self, name: &str, call: impl FnOnce() -> Status) -> Result<(), Trouble> {
        calling(name);
        let code = call();
        if code == 0 {
            return Ok(());
        }
        Err(Trouble::Call {
            call: name.to_owned(),
            code: code.into(),
            name: self.told(self.functions.get_error_name, code),
            text: self.told(self.functions.get_error_string, code),
        })
    }

    fn told(
        &self,
        ask: unsafe extern "system" fn(Status, *mut *const c_char) -> Status,
        code: Status,
    ) -> Option<String> {
        let mut text: *const c_char = std::ptr::null();
        // SAFETY: the driver answers with a pointer to a constant text, or null for a code that
        // it does not know; both functions may be called in any state.
        unsafe {
            (ask(code, &mut text) == 0 && !text.is_null())
                .then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    fn describe(&self, index: c_int) -> Result<(c_int, DeviceFacts), Trouble> {
        let f = &self.functions;
        let mut device = 0;
        // SAFETY: the pointer is to a live integer.
        self.call("cuDeviceGet", || unsafe {
            (f.device_get)(&mut device, index)
        })?;
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: the buffer is as long as is said, and the driver ends the name with NUL.
        self.call("cuDeviceGetName", || unsafe {
            (f.device_get_name)(name.as_mut_ptr(), 256, device)
        })?;
        // The last byte stays NUL whatever the driver does.
        name[255] = 0;
        // SAFETY: the buffer holds a NUL.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let mut memory = 0;
        // SAFETY: the pointer is to a live integer.
        self.call("cuDeviceTotalMem", || unsafe {
            (f.device_total_mem)(&mut memory, device)
        })?;
        let number = |which| u16::try_from(self.attribute(which, device)?).ok();
        let facts = DeviceFacts {
            index: index.unsigned_abs(),
            name: name.to_string_lossy().into_owned(),
            memory_bytes: u64::try_from(memory).ok(),
            compute_capability: number(CAPABILITY_MAJOR).zip(number(CAPABILITY_MINOR)),
            compute_mode: self.attribute(COMPUTE_MODE, device),
        };
        Ok((device, facts))
    }

    fn attribute(&self, which: c_int, device: c_int) -> Option<c_int> {
        let mut value = 0;
        // SAFETY: the pointer is to a live integer.
        self.call("cuDeviceGetAttribute", || unsafe {
            (self.functions.device_get_attribute)(&mut value, which, device)
        })
        .ok()
        .map(|()| value)
    }
}

/// A device with its context current on this thread, and the kernel loaded.
struct Gpu<'c> {
    cuda: &'c Cuda,
    kernel: Handle,
}

impl<'c> Gpu<'c> {
    /// Makes the device's primary context, the one that CUDA programs share, current. It is left
    /// to the end of the process.
    fn open(cuda: &'c Cuda, device: c_int) -> Result<Self, Trouble> {
        let f = &cuda.functions;
        let mut context: Context = std::ptr::null_mut();
        // SAFETY: the pointer is to a live pointer.
        cuda.call("cuDevicePrimaryCtxRetain", || unsafe {
            (f.primary_retain)(&mut context, device)
        })?;
        // SAFETY: the context was just made.
        cuda.call("cuCtxSetCurrent", || unsafe {
            (f.ctx_set_current)(context)
        })?;
        let mut module: Handle = std::ptr::null_mut();
        // SAFETY: the text ends with NUL and is constant.
        cuda.call("cuModuleLoadData", || unsafe {
            (f.module_load_data)(&mut module, KERNEL.as_ptr().cast())
        })?;
        let mut kernel: Handle = std::ptr::null_mut();
        // SAFETY: the module was just loaded; the name ends with NUL.
        cuda.call("cuModuleGetFunction", || unsafe {
            (f.module_get_function)(&mut kernel, module, c"aienv_probe".as_ptr())
        })?;
        Ok(Self { cuda, kernel })
    }
}

// All calls below: the context of this device is current on the only thread there is, addresses
// and pointers are what this interface allocated, and the sizes are those they were allocated with.
impl Device for Gpu<'_> {
    fn free_memory(&self) -> Result<u64, Trouble> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the pointers are to live integers.
        self.cuda.call("cuMemGetInfo", || unsafe {
            (self.cuda.functions.mem_get_info)(&mut free, &mut total)
        })?;
        Ok(free as u64)
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Trouble> {
        let mut address = 0;
        // SAFETY: the pointer is to a live integer.
        self.cuda.call("cuMemAlloc", || unsafe {
            (self.cuda.functions.mem_alloc)(&mut address, bytes)
        })?;
        Ok(address)
    }

    fn release(&self, address: u64) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.cuda.call("cuMemFree", || unsafe {
            (self.cuda.functions.mem_free)(address)
        })
    }

    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, Trouble> {
        let mut pointer: *mut c_void = std::ptr::null_mut();
        // SAFETY: the pointer is to a live pointer.
        self.cuda.call("cuMemAllocHost", || unsafe {
            (self.cuda.functions.mem_alloc_host)(&mut pointer, bytes)
        })?;
        Ok(pointer.cast())
    }

    fn release_pinned(&self, pointer: *mut u8) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.cuda.call("cuMemFreeHost", || unsafe {
            (self.cuda.functions.mem_free_host)(pointer.cast())
        })
    }

    fn run_kernel(&self, mut out: u64, mut seed: u32) -> Result<bool, Trouble> {
        let mut count = COUNT;
        let mut arguments: [*mut c_void; 3] = [
            (&raw mut out).cast(),
            (&raw mut count).cast(),
            (&raw mut seed).cast(),
        ];
        // SAFETY: the arguments are of the kernel's types in the kernel's order and live through
        // the call, which copies them; the kernel writes `count` words from `out`, which has them.
        self.cuda.call("cuLaunchKernel", || unsafe {
            (self.cuda.functions.launch_kernel)(
                self.kernel,
                COUNT / BLOCK,
                1,
                1,
                BLOCK,
                1,
                1,
                0,
                std::ptr::null_mut(),
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        })?;
        Ok(true)
    }

    fn fill(&self, out: u64, byte: u8, bytes: usize) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.cuda.call("cuMemsetD8", || unsafe {
            (self.cuda.functions.memset)(out, byte, bytes)
        })
    }

    fn upload(&self, to: u64, from: *const u8, bytes: usize) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.cuda.call("cuMemcpyHtoD", || unsafe {
            (self.cuda.functions.memcpy_to_device)(to, from.cast(), bytes)
        })
    }

    fn download(&self, to: *mut u8, from: u64, bytes: usize) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.cuda.call("cuMemcpyDtoH", || unsafe {
            (self.cuda.functions.memcpy_to_host)(to.cast(), from, bytes)
        })
    }

    fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.cuda.call("cuMemcpyDtoD", || unsafe {
            (self.cuda.functions.memcpy_on_device)(to, from, bytes)
        })
    }

    fn finish(&self) -> Result<(), Trouble> {
        // SAFETY: waits for the current context.
        self.cuda.call("cuCtxSynchronize", || unsafe {
            (self.cuda.functions.ctx_synchronize)()
        })
    }
}
