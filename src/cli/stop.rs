//! `aienv stop`

use std::process::ExitCode;

use super::{Context, Failure, Outcome};
use crate::launch::{
    self,
    services::{self, Running},
};

#[derive(clap::Args)]
pub struct Args {
    /// Tools whose services to stop, or single services as `aienv ps` names them
    #[arg(
        required_unless_present = "all",
        conflicts_with = "all",
        value_name = "SERVICE"
    )]
    services: Vec<String>,
    /// Stop every service
    #[arg(long)]
    all: bool,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let running = services::running(&context.home)?;
    let mut chosen: Vec<&Running> = Vec::new();
    if args.all {
        chosen.extend(&running);
    }
    for name in &args.services {
        let found = services::named(&running, name);
        if found.is_empty() {
            // A name that was never installed is a mistake; a service that has ended is not.
            let tool = name.split('@').next().unwrap_or(name);
            launch::load(&context.home, tool)?;
            context.progress.note(&format!("{name} is not running"));
        }
        for service in found {
            if !chosen.contains(&service) {
                chosen.push(service);
            }
        }
    }
    if args.all && chosen.is_empty() {
        context.progress.note("no service is running");
    }
    for service in chosen {
        stop_service(service, context)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops one service and says so.
pub fn stop_service(service: &Running, context: &Context) -> Result<(), Failure> {
    context
        .progress
        .step(&format!("Stopping {}", service.instance));
    let by_itself = services::stop(&context.home, service)?;
    context.progress.done(&match by_itself {
        true => format!("stopped {}", service.instance),
        false => format!("stopped {}, which did not end by itself", service.instance),
    });
    Ok(())
}
