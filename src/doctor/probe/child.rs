//! The process that talks to a driver.

use std::process::ExitCode;

use super::{
    Api, cuda,
    event::{Event, tell},
    hip,
};

/// Tries one interface and tells on standard output how it went. For the hidden command only.
pub fn run(api: Api) -> ExitCode {
    let end = match api {
        Api::Cuda => cuda::probe(),
        Api::Hip => hip::probe(),
    };
    tell(&match end {
        Ok(()) => Event::Done,
        Err(trouble) => Event::Ends { trouble },
    });
    ExitCode::SUCCESS
}
