//! `variables.network`

use super::{Check, listed};
use crate::doctor::machine::{Machine, Verdict};

pub(super) const CHECK: Check = Check {
    id: "variables.network",
    looks_at: "the variables that name proxies and certificates",
    why: "A proxy that is no address, or a file of certificates that is gone, fails every download \
          of every program.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let bad: Vec<&String> = machine.variables.bad_proxies.iter().collect();
    if !bad.is_empty() {
        verdicts.push(
            Verdict::problem(format!("{} is no address of a proxy", listed(&bad)))
                .because("Programs that honour it cannot reach the network.")
                .advise("Write it as `http://HOST:PORT`, or unset it"),
        );
    }
    for name in [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "SSL_CERT_DIR",
    ] {
        let gone = |folder: &&crate::doctor::machine::Folder| !folder.exists;
        let Some(folder) = machine.variables.folders_of(name).find(gone) else {
            continue;
        };
        // Of several folders some may be missing; that is how OpenSSL's default looks.
        if name == "SSL_CERT_DIR" && folder.path.contains(':') {
            continue;
        }
        verdicts.push(
            Verdict::problem(format!("{name} names certificates that are not there"))
                .because(
                    "Programs that honour it trust no server, and every secure connection fails.",
                )
                .advise_running("Name the right file, or unset it", format!("unset {name}"))
                .seen(format!("`{}` does not exist", folder.path)),
        );
    }
    verdicts
}
