//! HIP: AMD's runtime, which mirrors CUDA's.
//!
//! HIP has no portable kernel text that the driver compiles; that is the job of another library,
//! hiprtc. Where it is missing the GPU is still made to work: filling and copying memory are
//! kernels of the runtime.
//!
//! Signatures are those of the HIP runtime and HIP RTC API references.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    path::PathBuf,
    ptr::null_mut,
};

use super::{
    DeviceFacts, Trouble,
    event::{Event, calling, tell, try_device},
    library::Library,
    work::{self, BLOCK, COUNT, Device},
};

const KERNEL: &str = include_str!("kernel.hip");

/// `hipMemcpyKind` values.
const TO_DEVICE: c_int = 1;
const TO_HOST: c_int = 2;
const ON_DEVICE: c_int = 3;

type Status = c_int;
type Handle = *mut c_void;

macro_rules! functions {
    ($name:ident: $($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        struct $name {
            $($field: unsafe extern "C" fn($($argument),*) -> Status,)*
        }

        impl $name {
            fn of(library: &Library) -> Result<Self, Trouble> {
                // SAFETY: each type is the signature in the API reference.
                unsafe { Ok(Self { $($field: library.function($symbol)?,)* }) }
            }
        }
    };
}

functions! { Functions:
    init = "hipInit": fn(c_uint);
    runtime_get_version = "hipRuntimeGetVersion": fn(*mut c_int);
    get_device_count = "hipGetDeviceCount": fn(*mut c_int);
    set_device = "hipSetDevice": fn(c_int);
    device_get_name = "hipDeviceGetName": fn(*mut c_char, c_int, c_int);
    device_total_mem = "hipDeviceTotalMem": fn(*mut usize, c_int);
    mem_get_info = "hipMemGetInfo": fn(*mut usize, *mut usize);
    device_synchronize = "hipDeviceSynchronize": fn();
    malloc = "hipMalloc": fn(*mut *mut c_void, usize);
    free = "hipFree": fn(*mut c_void);
    host_malloc = "hipHostMalloc": fn(*mut *mut c_void, usize, c_uint);
    host_free = "hipHostFree": fn(*mut c_void);
    memset = "hipMemset": fn(*mut c_void, c_int, usize);
    memcpy = "hipMemcpy": fn(*mut c_void, *const c_void, usize, c_int);
    module_load_data = "hipModuleLoadData": fn(*mut Handle, *const c_void);
    module_get_function = "hipModuleGetFunction": fn(*mut Handle, Handle, *const c_char);
    launch_kernel = "hipModuleLaunchKernel": fn(
        Handle,
        c_uint, c_uint, c_uint,
        c_uint, c_uint, c_uint,
        c_uint, Handle, *mut *mut c_void, *mut *mut c_void
    );
}

functions! { Compiler:
    create_program = "hiprtcCreateProgram": fn(
        *mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
    );
    compile_program = "hiprtcCompileProgram": fn(Handle, c_int, *const *const c_char);
    get_code_size = "hiprtcGetCodeSize": fn(Handle, *mut usize);
    get_code = "hiprtcGetCode": fn(Handle, *mut c_char);
    get_log_size = "hiprtcGetProgramLogSize": fn(Handle, *mut usize);
    get_log = "hiprtcGetProgramLog": fn(Handle, *mut c_char);
}

/// Both interfaces name their error codes by functions that return the text.
type Name = unsafe extern "C" fn(Status) -> *const c_char;

/// Where a library of ROCm is looked for: by the loader, by the major versions there have been,
/// then in the folder that AMD's packages use.
fn candidates(stem: &str) -> Vec<PathBuf> {
    const MAJORS: [u32; 3] = [7, 6, 5];
    if cfg!(windows) {
        let system =
            std::env::var_os("SystemRoot").map(|root| PathBuf::from(root).join("System32"));
        let names = MAJORS.map(|major| format!("{stem}_{major}.dll"));
        return system
            .into_iter()
            .flat_map(|folder| names.each_ref().map(|name| folder.join(name)))
            .collect();
    }
    if cfg!(target_os = "macos") {
        return Vec::new();
    }
    let by_loader = MAJORS.map(|major| PathBuf::from(format!("lib{stem}.so.{major}")));
    let by_path = PathBuf::from(format!("/opt/rocm/lib/lib{stem}.so"));
    by_loader.into_iter().chain([by_path]).collect()
}

/// Tries every HIP device, telling the parent as it goes.
pub(super) fn probe() -> Result<(), Trouble> {
    let library = Library::open(candidates("amdhip64"))?;
    tell(&Event::Library {
        path: library.file(),
    });
    let hip = Hip {
        functions: Functions::of(&library)?,
        // SAFETY: the signature of both functions in the API reference.
        name: unsafe { library.function("hipGetErrorName")? },
        // SAFETY: as above.
        text: unsafe { library.function("hipGetErrorString")? },
    };
    let f = &hip.functions;
    // SAFETY: the only flag there is is none.
    hip.call("hipInit", || unsafe { (f.init)(0) })?;
    let mut version = 0;
    // SAFETY: the pointer is to a live integer.
    hip.call("hipRuntimeGetVersion", || unsafe {
        (f.runtime_get_version)(&mut version)
    })?;
    tell(&Event::Version {
        version: format!("{}.{}", version / 10_000_000, version / 100_000 % 100),
    });
    let mut count = 0;
    // SAFETY: the pointer is to a live integer.
    hip.call("hipGetDeviceCount", || unsafe {
        (f.get_device_count)(&mut count)
    })?;
    if count <= 0 {
        return Err(Trouble::NoDevice);
    }
    for index in 0..count {
        let facts = hip.describe(index)?;
        try_device(facts, || work::exercise(&Gpu::open(&hip, index)?));
    }
    Ok(())
}

struct Hip {
    functions: Functions,
    name: Name,
    text: Name,
}

impl Hip {
    /// Announces a call, makes it, and names it where it fails.
    fn call(&self, name: &str, call: impl FnOnce() -> Status) -> Result<(), Trouble> {
        calling(name);
        match call() {
            0 => Ok(()),
            code => Err(failure(name, code, self.name, Some(self.text))),
        }
    }

    fn describe(&self, index: c_int) -> Result<DeviceFacts, Trouble> {
        let f = &self.functions;
        let mut name: [c_char; 256] = [0; 256];
        // SAFETY: the buffer is as long as is said; a device's handle is its number.
        self.call("hipDeviceGetName", || unsafe {
            (f.device_get_name)(name.as_mut_ptr(), 256, index)
        })?;
        name[255] = 0;
        // SAFETY: the buffer holds a NUL.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let mut memory = 0;
        // SAFETY: the pointer is to a live integer.
        self.call("hipDeviceTotalMem", || unsafe {
            (f.device_total_mem)(&mut memory, index)
        })?;
        Ok(DeviceFacts {
            index: index.unsigned_abs(),
            name: name.to_string_lossy().into_owned(),
            memory_bytes: u64::try_from(memory).ok(),
            ..DeviceFacts::default()
        })
    }
}

fn failure(call: &str, code: Status, name: Name, text: Option<Name>) -> Trouble {
    let told = |ask: Name| {
        // SAFETY: the runtime answers with a constant text for every code.
        unsafe {
            let text = ask(code);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    };
    Trouble::Call {
        call: call.to_owned(),
        code: code.into(),
        name: told(name),
        text: text.and_then(told),
    }
}

/// The kernel as machine code of the current device; `None` where there is no compiler.
fn compile() -> Result<Option<Vec<u8>>, Trouble> {
    let Ok(library) = Library::open(candidates("hiprtc")) else {
        return Ok(None);
    };
    let compiler = Compiler::of(&library)?;
    // SAFETY: the signature in the API reference.
    let name: Name = unsafe { library.function("hiprtcGetErrorString")? };
    let call = |what: &str, call: &dyn Fn() -> Status| {
        calling(what);
        match call() {
            0 => Ok(()),
            code => Err(failure(what, code, name, None)),
        }
    };
    let source = CString::new(KERNEL).unwrap_or_default();
    let mut program: Handle = null_mut();
    let slot = &raw mut program;
    // SAFETY: both texts end with NUL; no headers are given, so their lists may be null.
    call("hiprtcCreateProgram", &|| unsafe {
        (compiler.create_program)(
            slot,
            source.as_ptr(),
            c"aienv_probe".as_ptr(),
            0,
            std::ptr::null(),
            std::ptr::null(),
        )
    })?;
    // SAFETY: the program was just made; there are no options. Without one that names a target
    // the code is for the current device.
    let compiled = call("hiprtcCompileProgram", &|| unsafe {
        (compiler.compile_program)(program, 0, std::ptr::null())
    });
    if let Err(Trouble::Call {
        call, code, name, ..
    }) = compiled
    {
        let text = log(&compiler, program);
        return Err(Trouble::Call {
            call,
            code,
            name,
            text,
        });
    }
    let mut size = 0;
    let slot = &raw mut size;
    // SAFETY: the pointer is to a live integer.
    call("hiprtcGetCodeSize", &|| unsafe {
        (compiler.get_code_size)(program, slot)
    })?;
    let mut code = vec![0_u8; size];
    let slot = code.as_mut_ptr();
    // SAFETY: the buffer has the size that was asked for.
    call("hiprtcGetCode", &|| unsafe {
        (compiler.get_code)(program, slot.cast())
    })?;
    Ok(Some(code))
}

/// What the compiler said, shortened.
fn log(compiler: &Compiler, program: Handle) -> Option<String> {
    let mut size = 0;
    // SAFETY: the pointer is to a live integer.
    if unsafe { (compiler.get_log_size)(program, &mut size) } != 0 {
        return None;
    }
    let mut text = vec![0_u8; size];
    // SAFETY: the buffer has the size that was asked for.
    if unsafe { (compiler.get_log)(program, text.as_mut_ptr().cast()) } != 0 {
        return None;
    }
    let text = String::from_utf8_lossy(&text);
    let short: String = text.trim_matches(['\0', '\n']).chars().take(500).collect();
    (!short.is_empty()).then_some(short)
}

/// The current device, with the kernel loaded where there is a compiler.
struct Gpu<'h> {
    hip: &'h Hip,
    kernel: Option<Handle>,
}

impl<'h> Gpu<'h> {
    fn open(hip: &'h Hip, index: c_int) -> Result<Self, Trouble> {
        let f = &hip.functions;
        // SAFETY: the number is below the count of devices.
        hip.call("hipSetDevice", || unsafe { (f.set_device)(index) })?;
        let Some(code) = compile()? else {
            return Ok(Self { hip, kernel: None });
        };
        let mut module: Handle = null_mut();
        // SAFETY: the code object is what the compiler made for this device; the runtime keeps a
        // copy.
        hip.call("hipModuleLoadData", || unsafe {
            (f.module_load_data)(&mut module, code.as_ptr().cast())
        })?;
        let mut kernel: Handle = null_mut();
        // SAFETY: the module was just loaded; the name ends with NUL.
        hip.call("hipModuleGetFunction", || unsafe {
            (f.module_get_function)(&mut kernel, module, c"aienv_probe".as_ptr())
        })?;
        Ok(Self {
            hip,
            kernel: Some(kernel),
        })
    }

    fn memcpy(
        &self,
        to: *mut c_void,
        from: *const c_void,
        bytes: usize,
        kind: c_int,
    ) -> Result<(), Trouble> {
        // SAFETY: see below.
        self.hip.call("hipMemcpy", || unsafe {
            (self.hip.functions.memcpy)(to, from, bytes, kind)
        })
    }
}

/// An address of the GPU as HIP wants it.
fn pointer(address: u64) -> *mut c_void {
    // The runtime gave it as a pointer; it is never followed here.
    std::ptr::without_provenance_mut(address as usize)
}

// All calls below: this device is current on the only thread there is, addresses and pointers are
// what this interface allocated, and the sizes are those they were allocated with.
impl Device for Gpu<'_> {
    fn free_memory(&self) -> Result<u64, Trouble> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the pointers are to live integers.
        self.hip.call("hipMemGetInfo", || unsafe {
            (self.hip.functions.mem_get_info)(&mut free, &mut total)
        })?;
        Ok(free as u64)
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Trouble> {
        let mut address: *mut c_void = null_mut();
        // SAFETY: the pointer is to a live pointer.
        self.hip.call("hipMalloc", || unsafe {
            (self.hip.functions.malloc)(&mut address, bytes)
        })?;
        Ok(address.addr() as u64)
    }

    fn release(&self, address: u64) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.hip.call("hipFree", || unsafe {
            (self.hip.functions.free)(pointer(address))
        })
    }

    fn allocate_pinned(&self, bytes: usize) -> Result<*mut u8, Trouble> {
        let mut pointer: *mut c_void = null_mut();
        // SAFETY: the pointer is to a live pointer; no flags are asked for.
        self.hip.call("hipHostMalloc", || unsafe {
            (self.hip.functions.host_malloc)(&mut pointer, bytes, 0)
        })?;
        Ok(pointer.cast())
    }

    fn release_pinned(&self, pointer: *mut u8) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.hip.call("hipHostFree", || unsafe {
            (self.hip.functions.host_free)(pointer.cast())
        })
    }

    fn run_kernel(&self, out: u64, mut seed: u32) -> Result<bool, Trouble> {
        let Some(kernel) = self.kernel else {
            return Ok(false);
        };
        let mut out = pointer(out);
        let mut count = COUNT;
        let mut arguments: [*mut c_void; 3] = [
            (&raw mut out).cast(),
            (&raw mut count).cast(),
            (&raw mut seed).cast(),
        ];
        // SAFETY: the arguments are of the kernel's types in the kernel's order and live through
        // the call, which copies them; the kernel writes `count` words from `out`, which has them.
        self.hip.call("hipModuleLaunchKernel", || unsafe {
            (self.hip.functions.launch_kernel)(
                kernel,
                COUNT / BLOCK,
                1,
                1,
                BLOCK,
                1,
                1,
                0,
                null_mut(),
                arguments.as_mut_ptr(),
                null_mut(),
            )
        })?;
        Ok(true)
    }

    fn fill(&self, out: u64, byte: u8, bytes: usize) -> Result<(), Trouble> {
        // SAFETY: see above.
        self.hip.call("hipMemset", || unsafe {
            (self.hip.functions.memset)(pointer(out), byte.into(), bytes)
        })
    }

    fn upload(&self, to: u64, from: *const u8, bytes: usize) -> Result<(), Trouble> {
        self.memcpy(pointer(to), from.cast(), bytes, TO_DEVICE)
    }

    fn download(&self, to: *mut u8, from: u64, bytes: usize) -> Result<(), Trouble> {
        self.memcpy(to.cast(), pointer(from), bytes, TO_HOST)
    }

    fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), Trouble> {
        self.memcpy(pointer(to), pointer(from), bytes, ON_DEVICE)
    }

    fn finish(&self) -> Result<(), Trouble> {
        // SAFETY: waits for the current device.
        self.hip.call("hipDeviceSynchronize", || unsafe {
            (self.hip.functions.device_synchronize)()
        })
    }
}
