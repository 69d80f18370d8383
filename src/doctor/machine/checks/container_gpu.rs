//! `container.gpu`

use super::{Check, has_nvidia_module, known, nvidia_on_bus};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "container.gpu",
    looks_at: "the machine's NVIDIA GPUs, and whether this container was given any",
    why: "A container sees a GPU only when it is started with it. The errors inside speak of \
          drivers that are missing or too old, and there is nothing to install.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let gpus = nvidia_on_bus(machine);
    let (true, Some(gpu)) = (machine.in_container(), gpus.first()) else {
        return Vec::new();
    };
    if !has_nvidia_module(machine) || machine.node("/dev/nvidiactl").is_some() {
        return Vec::new();
    }
    let variables = &machine.variables;
    let asked = variables.get("NVIDIA_VISIBLE_DEVICES");
    if asked.is_some_and(|asked| matches!(asked.trim(), "" | "void" | "none")) {
        return vec![
            Verdict::note("this container is told to have no GPU")
                .cause(Cause::VisibleDevicesHideGpu)
                .because("NVIDIA_VISIBLE_DEVICES is empty, `void` or `none` in it.")
                .fixes(known(machine, Cause::ContainerNoGpuFlag)),
        ];
    }
    // Images made for CUDA say so in their environment.
    let made_for_cuda = [
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_REQUIRE_CUDA",
        "CUDA_VERSION",
    ]
    .iter()
    .find(|name| variables.filled(name).is_some());
    let mut verdict = Verdict::problem_if(
        made_for_cuda.is_some(),
        "this container was started without the GPU",
    )
    .cause(Cause::ContainerNoGpuFlag)
    .because(format!(
        "The machine has {} and its driver is loaded; the device files of NVIDIA are not \
                 in this container. There is nothing to install inside.",
        gpu.name
    ))
    .fixes(known(machine, Cause::ContainerNoGpuFlag))
    .seen("`/dev/nvidiactl` is not there");
    if let Some(name) = made_for_cuda {
        verdict = verdict.seen(format!("{name} is set: the image is made for CUDA"));
    }
    vec![verdict]
}
