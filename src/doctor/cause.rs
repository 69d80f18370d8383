//! The causes doctor can name: a closed list of labels.
//!
//! A label states the root of a failure, not its message: one message has several possible roots,
//! and one root speaks in many messages. What each label means, and what helps, is data in
//! `manifests/doctor/causes.toml`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $label:literal,)*) => {
        /// The root of a failure.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum Cause {
            $($(#[$doc])* #[serde(rename = $label)] $variant,)*
        }

        impl Cause {
            /// Every cause, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The label: `driver-too-old-for-cuda`.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

causes! {
    /// The NVIDIA driver is older than the CUDA runtime of the program allows.
    DriverTooOld = "driver-too-old-for-cuda",
    /// User-space driver and loaded kernel module have different versions.
    DriverLibraryMismatch = "nvml-driver-library-mismatch",
    /// The GPU is there but no NVIDIA kernel module serves it.
    KernelModuleNotLoaded = "nvidia-kernel-module-not-loaded",
    /// The driver's branch or flavour does not drive this GPU.
    DriverDoesNotSupportGpu = "driver-does-not-support-gpu",
    /// `nvidia_uvm` is stale or its device node is absent.
    UvmNotUsable = "nvidia-uvm-not-usable",
    /// Power, bus or firmware: the GPU itself is in trouble.
    HardwareOrFirmware = "gpu-hardware-or-firmware-problem",
    /// Compute mode or MIG keeps the program out.
    ModeRestrictsAccess = "gpu-mode-restricts-access",
    /// NVSwitch machine without a running fabric manager.
    FabricManagerNotRunning = "fabric-manager-not-running",
    /// There is no NVIDIA GPU.
    NoNvidiaGpu = "no-nvidia-gpu-present",
    /// A variable hides the GPU.
    VisibleDevicesHideGpu = "cuda-visible-devices-hides-gpu",
    /// A warning that is not the fault.
    BenignWarning = "benign-warning",
    /// torch is a build without GPU support.
    TorchCpuBuild = "torch-cpu-build",
    /// The GPU is newer than any kernel of the build.
    ArchTooNew = "gpu-arch-too-new-for-wheel",
    /// The GPU is older than the kernels of the build.
    ArchDropped = "gpu-arch-dropped-by-wheel",
    /// The build runs, a feature needs a newer GPU.
    ArchLacksFeature = "gpu-arch-lacks-feature",
    /// No wheel for this Python or platform.
    NoWheel = "no-wheel-for-python-or-platform",
    /// The interpreter is of another processor architecture than the machine.
    PythonWrongArchitecture = "python-wrong-architecture",
    /// Packages of the torch family of different releases or builds.
    TorchCompanionMismatch = "torch-companion-mismatch",
    /// A compiled extension was made for another torch.
    ExtensionForOtherTorch = "extension-built-for-other-torch",
    /// An extension for NumPy 1 under NumPy 2, or the reverse.
    Numpy2Abi = "numpy2-abi",
    /// Packages of different CUDA majors in one environment.
    MixedCudaWheels = "mixed-cuda-wheels",
    /// An inference engine made for another CUDA or cuDNN major.
    EngineCudaMismatch = "engine-cuda-cudnn-mismatch",
    /// Two onnxruntime packages share one module folder.
    TwoOnnxruntimes = "onnxruntime-cpu-and-gpu-both-installed",
    /// bitsandbytes has no library for this platform or CUDA.
    BitsandbytesNoBinary = "bitsandbytes-no-binary-for-platform",
    /// A TensorRT engine from another TensorRT or GPU.
    TensorrtEngineMismatch = "tensorrt-engine-version-mismatch",
    /// llama.cpp without a GPU backend.
    LlamaCppWithoutGpu = "llama-cpp-built-without-gpu",
    /// Two OpenMP runtimes in one process.
    DuplicateOpenmp = "duplicate-openmp-runtime",
    /// Another environment is installed into, or run from.
    WrongEnvironment = "wrong-environment-used",
    /// torch is not in the Python that runs the program, or cannot be imported there.
    TorchNotInstalled = "torch-not-installed",
    /// Packages from outside come ahead of the environment's.
    OutsidePackagesLeakIn = "outside-packages-leak-in",
    /// The interpreter below a venv was upgraded or removed.
    VenvBroken = "venv-broken-by-python-upgrade",
    /// Files of the environment are gone, cut off, changed or not readable.
    EnvironmentDamaged = "environment-files-damaged",
    /// A library that is needed is nowhere, or is of another version than it should be.
    LibraryMissing = "native-library-missing",
    /// The loader is led to other CUDA libraries than the wheel's own.
    LibraryPathShadows = "ld-library-path-shadows-wheel-libs",
    /// CUDA libraries that are not installed at all.
    CudaLibsMissing = "cuda-runtime-libs-missing",
    /// CUDA libraries that are there, where the loader does not look.
    CudaLibsNotOnPath = "cuda-libs-not-on-loader-path",
    /// An older libstdc++ is loaded first.
    LibstdcxxTooOld = "libstdcxx-too-old",
    /// The C library is older than the wheel needs.
    GlibcTooOld = "glibc-too-old",
    /// OpenCV's display libraries are absent.
    LibglMissing = "libgl-missing",
    /// The Visual C++ runtime is absent or too old.
    VcRuntimeMissing = "windows-vc-runtime-missing",
    /// Compiler or CUDA toolkit do not fit the build of an extension.
    ToolkitUnfit = "cuda-toolkit-unfit-for-build",
    /// The processor lacks instructions that the program uses.
    CpuLacksAvx = "cpu-lacks-avx",
    /// The container was started without the GPU.
    ContainerNoGpuFlag = "container-no-gpu-flag",
    /// The container engine has no working NVIDIA runtime.
    ContainerToolkit = "container-toolkit-missing-or-broken",
    /// A running container lost its devices.
    ContainerCgroupLostGpu = "container-cgroup-lost-gpu",
    /// WSL's libcuda is hidden or replaced.
    WslLibcudaNotOnPath = "wsl-libcuda-not-on-path",
    /// WSL 1, or a Windows or WSL kernel without GPU support.
    WslTooOld = "wsl-too-old",
    /// `/dev/kfd` does not exist.
    KfdMissing = "amdgpu-kfd-missing",
    /// The user may not open the AMD device nodes.
    NotInRenderGroup = "rocm-user-not-in-render-group",
    /// A gfx target that runs with an override.
    GfxNeedsOverride = "rocm-gfx-needs-override",
    /// A gfx target the ROCm build has no code for.
    GfxNotInWheel = "rocm-gfx-not-in-wheel",
    /// The processor's own graphics are taken for computing.
    IgpuSelected = "rocm-igpu-selected",
    /// A CUDA build on an AMD machine.
    CudaTorchOnAmd = "cuda-torch-on-amd",
    /// The parts of ROCm on WSL do not fit each other.
    RocmWslMismatch = "rocm-wsl-stack-mismatch",
    /// macOS is older than MPS needs.
    MacosTooOld = "macos-too-old-for-mps",
    /// An operation or type MPS does not have.
    MpsOpMissing = "mps-op-not-implemented",
    /// GPU memory is too small or fragmented.
    VramOutOfMemory = "vram-out-of-memory",
    /// Main memory is too small.
    RamOomKilled = "ram-oom-killed",
    /// The Windows page file is too small.
    PagefileTooSmall = "windows-pagefile-too-small",
    /// Shared memory is too small.
    ShmTooSmall = "shm-too-small",
    /// A disk, cache or temporary folder is full.
    DiskFull = "disk-or-tmp-full",
    /// GPUs cannot reach each other's memory.
    NcclP2p = "nccl-p2p-not-working",
    /// NCCL or gloo was told, or picked, the wrong way.
    NcclEnv = "nccl-env-misconfigured",
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The text is no label.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a cause that doctor knows")]
pub struct UnknownCause(String);

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|cause| cause.label() == text);
        found.copied().ok_or_else(|| UnknownCause(text.to_owned()))
    }
}
