//! `variables.collective-network`

use super::Check;
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "variables.collective-network",
    looks_at: "NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME, and the network interfaces there are",
    why: "They name the interface by which programs on several GPUs or machines talk. One that is \
          not there ends them at the start.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    ["NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"]
        .into_iter()
        .filter_map(|name| {
            let value = machine.variables.filled(name)?;
            let there = &machine.variables.interfaces;
            if there.is_empty() || any_fits(value, there) {
                return None;
            }
            Some(
                Verdict::problem(format!("{name} names no network interface of this machine"))
                    .cause(Cause::NcclEnv)
                    .because(
                        "Programs on several GPUs find no way to each other. Left unset, an \
                         interface is chosen for them.",
                    )
                    .advise_running(
                        "Unset it, or name one of the interfaces there are",
                        format!("unset {name}"),
                    )
                    .seen(format!("it is `{value}`; there are {}", there.join(", "))),
            )
        })
        .collect()
}

/// `eth,ib` are beginnings of names, `=eth0` is a whole name, and `^docker,lo` leaves some out.
fn any_fits(value: &str, interfaces: &[String]) -> bool {
    let value = value.trim();
    let (negated, list) = match value.strip_prefix('^') {
        Some(list) => (true, list),
        None => (false, value),
    };
    let (exact, list) = match list.strip_prefix('=') {
        Some(list) => (true, list),
        None => (false, list),
    };
    let named = |interface: &String| {
        list.split(',').map(str::trim).any(|entry| match exact {
            true => interface == entry,
            false => !entry.is_empty() && interface.starts_with(entry),
        })
    };
    interfaces
        .iter()
        .any(|interface| named(interface) != negated)
}

#[cfg(test)]
mod tests {
    use super::any_fits;

    #[test]
    fn the_three_ways_to_name_interfaces() {
        let there = ["docker0", "eth0", "lo"].map(str::to_owned);
        for (value, fits) in [
            ("eth", true),
            ("ib,eth0", true),
            ("ib0", false),
            ("=eth", false),
            ("=eth0", true),
            ("^docker,lo", true),
            ("^docker,lo,eth", false),
        ] {
            assert_eq!(any_fits(value, &there), fits, "{value}");
        }
    }
}
