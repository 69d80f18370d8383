//! `aienv what-if`

use super::{Context, Failure, Outcome, output, plan, solving::SolvingArgs};
use crate::{
    compat::gpus::{self, NotTold},
    error::UserError,
    host::{Gpu, GpuVendor, Host, NvidiaDriver},
    types::Version,
};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue (`TOOL==VERSION` for one version of it), or the path of a manifest
    tool: String,
    /// With this NVIDIA driver, such as 580 or 580.95.05
    #[arg(long, value_name = "VERSION")]
    driver: Option<Version>,
    /// With this GPU instead of the machine's own, such as "RTX 3060"
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// Without any GPU
    #[arg(long, conflicts_with_all = ["gpu", "driver"])]
    no_gpu: bool,
    #[command(flatten)]
    solving: SolvingArgs,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let wanted = manager.wanted(&args.tool)?;
    let mut options = args.solving.options()?;
    let host = options
        .host
        .take()
        .unwrap_or_else(|| manager.host().clone());
    options.host = Some(changed(host, &args)?);
    let plans = manager.plan_all(&[wanted], &options)?;
    context.progress.clear();
    let texts: Vec<_> = plans
        .iter()
        .map(|planned| plan::summary(planned, &manager))
        .collect();
    output::print(&texts.join("\n"))
}

fn changed(mut host: Host, args: &Args) -> Result<Host, Failure> {
    if args.no_gpu {
        host.gpus.clear();
        host.nvidia = None;
        host.amd = None;
    }
    if let Some(name) = &args.gpu {
        let model = gpus::by_name(name).map_err(|error| {
            let name = name.clone();
            match error {
                NotTold::Unknown(nearest) => WhatIfError::UnknownGpu { name, nearest },
                NotTold::Several(models) => WhatIfError::SeveralGpus { name, models },
            }
        })?;
        host.gpus = vec![Gpu {
            vendor: model.vendor,
            name: model.name,
            pci_id: None,
            pci_address: None,
            compute_capability: model.facts.compute_capability,
            integrated: model.facts.integrated,
            gfx: model.facts.gfx,
            memory_bytes: model.facts.memory_bytes,
            kernel_driver: None,
        }];
    }
    if let Some(driver) = &args.driver {
        host.nvidia = Some(NvidiaDriver {
            version: Some(driver.clone()),
            kernel_version: Some(driver.clone()),
            cuda: None,
            open_module: None,
        });
    }
    let nvidia = host.gpus.iter().any(|gpu| gpu.vendor == GpuVendor::Nvidia);
    if nvidia && host.nvidia.is_none() {
        return Err(WhatIfError::NoDriver.into());
    }
    if !nvidia && args.driver.is_some() {
        return Err(WhatIfError::NoCard.into());
    }
    Ok(host)
}

/// The question cannot be asked this way.
#[derive(Debug, thiserror::Error)]
enum WhatIfError {
    /// A GPU that the table does not have.
    #[error("no GPU named `{name}` is known")]
    UnknownGpu { name: String, nearest: Vec<String> },
    /// A name that cards with different chips have.
    #[error("`{name}` is the name of more than one GPU")]
    SeveralGpus { name: String, models: Vec<String> },
    /// An NVIDIA GPU without a driver.
    #[error("which NVIDIA driver? this machine has none")]
    NoDriver,
    /// A driver without a card.
    #[error("this machine has no NVIDIA GPU for the driver")]
    NoCard,
}

impl UserError for WhatIfError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownGpu { .. } => "what-if.unknown-gpu",
            Self::SeveralGpus { .. } => "what-if.several-gpus",
            Self::NoDriver => "what-if.no-driver",
            Self::NoCard => "what-if.no-card",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownGpu { nearest, .. } => {
                Some(format!("the nearest are `{}`", nearest.join("`, `")))
            }
            Self::SeveralGpus { models, .. } => {
                Some(format!("say which: `{}`", models.join("`, `")))
            }
            Self::NoDriver => Some("give one with `--driver 580`".to_owned()),
            Self::NoCard => Some("give one with `--gpu \"RTX 3060\"`".to_owned()),
        }
    }

    fn is_usage(&self) -> bool {
        true
    }
}
