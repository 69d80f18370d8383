//! `container.engine`

use super::{Check, known, nvidia_answers, remedy};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "container.engine",
    looks_at: "Docker or Podman on a machine with a working NVIDIA GPU, and NVIDIA's toolkit for them",
    why: "Containers get an NVIDIA GPU through NVIDIA's container toolkit. Without it `--gpus` \
          ends with “could not select device driver”.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let Some(engine) = machine
        .around
        .engine
        .as_ref()
        .filter(|_| nvidia_answers(machine))
    else {
        return Vec::new();
    };
    let name = match engine.name.as_str() {
        "podman" => "Podman",
        _ => "Docker",
    };
    if !engine.toolkit {
        return vec![
            Verdict::note(format!("{name} cannot give containers the NVIDIA GPU"))
                .cause(Cause::ContainerToolkit)
                .because(
                    "NVIDIA's container toolkit is not installed. aienv needs no containers; this \
                     matters only if you use some.",
                )
                .fixes(known(machine, Cause::ContainerToolkit)),
        ];
    }
    if !engine.configured {
        let verdict = Verdict::note(format!("{name} was not told of NVIDIA's container toolkit"))
            .cause(Cause::ContainerToolkit)
            .sure(0.6);
        return vec![match engine.name.as_str() {
            "podman" => verdict
                .because("Podman finds GPUs in a list of devices (CDI), and there is none.")
                .advise_running(
                    "Write the list",
                    "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
                ),
            _ => verdict
                .because(
                    "The toolkit is installed, and Docker's configuration does not name its \
                     runtime. `--gpus all` works without; `runtime: nvidia` does not.",
                )
                .fix(remedy(machine, "configure-container-toolkit", &[])),
        }];
    }
    Vec::new()
}
