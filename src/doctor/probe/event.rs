//! What the process that talks to a driver tells: one line for each thing that it is about to do or
//! has found out. What a driver library may print besides is told apart by the lines' beginning.

use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::{DeviceFacts, Measured, Trouble};

/// How each line begins.
const MARK: &str = "aienv-gpu-probe ";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// About to make a call.
    Calling { call: String },
    /// The library is loaded.
    Library { path: String },
    /// It states its version.
    Version { version: String },
    /// A device comes next.
    Device { facts: DeviceFacts },
    /// The device works.
    Works { measured: Measured },
    /// The device does not work.
    Fails { trouble: Trouble },
    /// Nothing more can be tried.
    Ends { trouble: Trouble },
    /// Everything was tried.
    Done,
}

impl Event {
    /// The event in a line of the child's; `None` for what others wrote.
    pub(super) fn parse(line: &str) -> Option<Self> {
        // A library may have left its own line unfinished.
        let (_, json) = line.split_once(MARK)?;
        serde_json::from_str(json).ok()
    }
}

/// Tells the parent. A parent that is gone needs no probe.
pub(super) fn tell(event: &Event) {
    let Ok(json) = serde_json::to_string(event) else {
        return;
    };
    let mut out = io::stdout().lock();
    if writeln!(out, "{MARK}{json}")
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(1);
    }
}

/// Tells the parent what is called next, so that it knows where a hang or a crash happened.
pub(super) fn calling(call: &str) {
    tell(&Event::Calling {
        call: call.to_owned(),
    });
}

/// Tells of one device: what it is, then how it did.
pub(super) fn try_device(facts: DeviceFacts, work: impl FnOnce() -> Result<Measured, Trouble>) {
    tell(&Event::Device { facts });
    tell(&match work() {
        Ok(measured) => Event::Works { measured },
        Err(trouble) => Event::Fails { trouble },
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_of_others_are_left_out() {
        let event = Event::Calling {
            call: "cuInit".to_owned(),
        };
        let line = format!("{MARK}{}", serde_json::to_string(&event).unwrap());
        assert_eq!(Event::parse(&line), Some(event.clone()));
        assert_eq!(Event::parse(&format!("unfinished {line}")), Some(event));
        for other in ["", "HIP: warning", "aienv-gpu-probe {", "{}"] {
            assert_eq!(Event::parse(other), None, "{other}");
        }
    }
}
