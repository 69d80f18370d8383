//! `aienv what-if`

use std::fmt::Write as _;

use console::style;
use serde::Serialize;

use super::{Context, Failure, Outcome, output, plan, solving::SolvingArgs};
use crate::{
    compat::gpus::{self, NotTold},
    error::UserError,
    host::{AmdDriver, Gpu, GpuVendor, Host, NvidiaDriver},
    solve::{Plan, Supposed, of_branch},
    tools::{Planned, ToolError},
    types::{Accelerator, Libc, Os, Version},
};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue (`TOOL==VERSION` for one version of it), or the path of a manifest
    tool: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    solving: SolvingArgs,
    /// Print the plan, and what it is compared with, as JSON
    #[arg(long)]
    json: bool,
}

/// What is other than on the machine as it is.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// With this GPU instead of the machine's own, such as "RTX 3060"; more than once for several
    #[arg(long, value_name = "NAME")]
    gpu: Vec<String>,
    /// Without any GPU
    #[arg(long, conflicts_with_all = ["gpu", "driver"])]
    no_gpu: bool,
    /// With this NVIDIA driver, such as 580 or 580.95.05 (default: the machine's, else the lowest
    /// that does)
    #[arg(long, value_name = "VERSION")]
    driver: Option<Version>,
    /// With this version of macOS
    #[arg(long, value_name = "VERSION")]
    macos: Option<Version>,
    /// With this version of the GNU C library, such as 2.35 (Linux; `aienv host` tells yours)
    #[arg(long, value_name = "VERSION")]
    glibc: Option<Version>,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let wanted = manager.wanted(&args.tool)?;
    let mut options = args.solving.options()?;
    let now = options.host.take();
    let now = now.unwrap_or_else(|| manager.host().clone());
    let then = args.changes.applied(now.clone())?;
    let (before, after) = manager.what_if(&wanted, &options, &now, &then)?;
    context.progress.clear();
    let before = match before {
        Err(error @ ToolError::Solve(_)) => Err(first_line(&error)),
        other => Ok(other?),
    };
    let Supposed { driver, plan } = after;
    let planned = Planned { wanted, plan };
    if args.json {
        return output::json(&Answer {
            assumed_driver: driver.as_ref().map(NvidiaDriver::spelled),
            now: before.as_ref().ok().map(Essence::of),
            now_error: before.as_ref().err(),
            then: plan::JsonPlan::new(&planned, &manager),
        });
    }
    let mut text = plan::summary(&planned, &manager);
    if let Some(driver) = driver {
        let driver = NvidiaDriver::spelled(&driver);
        let which = match planned.plan.lock.accelerator {
            Accelerator::Cuda(..) => "the lowest that will do",
            _ => "the newest that aienv knows for the card",
        };
        let _ = writeln!(
            text,
            "  {} planned for NVIDIA driver {driver}, {which}; `--driver` asks for another",
            style("note:").yellow()
        );
    }
    output::print(&(text + &compared(&before, &planned.plan)))
}

fn first_line(error: &ToolError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What is other than in the plan of the machine as it is.
fn compared(before: &Result<Plan, String>, after: &Plan) -> String {
    let before = match before {
        Err(why) => return format!("\n  on the machine as it is there is no plan: {why}\n"),
        Ok(plan) => Essence::of(plan),
    };
    let after = Essence::of(after);
    let torch = |essence: &Essence| essence.torch.clone().unwrap_or_else(|| "none".to_owned());
    let rows = [
        ("version", before.version.clone(), after.version.clone()),
        (
            "accelerator",
            before.accelerator.clone(),
            after.accelerator.clone(),
        ),
        ("python", before.python.clone(), after.python.clone()),
        ("torch", torch(&before), torch(&after)),
    ];
    let changed: Vec<_> = rows.iter().filter(|(_, was, is)| was != is).collect();
    if changed.is_empty() {
        return "\n  the same as on the machine as it is\n".to_owned();
    }
    let mut text = "\n  compared with the machine as it is\n".to_owned();
    for (what, was, is) in changed {
        let _ = writeln!(text, "    {what:11}  {was} → {is}");
    }
    text
}

/// The answer as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    /// The driver that was assumed because none was named and the machine has none.
    assumed_driver: Option<String>,
    /// The plan of the machine as it is.
    now: Option<Essence>,
    /// Why it has none.
    now_error: Option<&'a String>,
    /// The plan of the changed machine.
    then: plan::JsonPlan<'a>,
}

/// A plan in a few words.
#[derive(Serialize)]
struct Essence {
    version: String,
    accelerator: String,
    python: String,
    torch: Option<String>,
}

impl Essence {
    fn of(plan: &Plan) -> Self {
        let lock = &plan.lock;
        let mut packages = lock.packages.iter();
        let torch = packages.find(|package| package.name.as_ref() == "torch");
        Self {
            version: lock.version.to_string(),
            accelerator: lock.accelerator.to_string(),
            python: lock.python.version().to_string(),
            torch: torch.map(|torch| torch.version.to_string()),
        }
    }
}

impl Changes {
    /// The machine with the changes.
    fn applied(&self, mut host: Host) -> Result<Host, Failure> {
        if self.no_gpu || !self.gpu.is_empty() {
            host.gpus = self
                .gpu
                .iter()
                .map(|name| card(name, host.os.family))
                .collect::<Result<_, _>>()?;
        }
        let has = |vendor| host.gpus.iter().any(|gpu| gpu.vendor == vendor);
        let (nvidia, amd) = (has(GpuVendor::Nvidia), has(GpuVendor::Amd));
        // A driver without its card is of no use, and a card that is thought of is set up well.
        if !nvidia {
            host.nvidia = None;
        }
        if !amd {
            host.amd = None;
        } else if !self.gpu.is_empty() {
            host.amd = Some(AmdDriver {
                version: None,
                kfd_accessible: true,
                render_accessible: true,
            });
        }
        if let Some(driver) = &self.driver {
            if !nvidia {
                return Err(WhatIfError::NoCard.into());
            }
            let driver = of_branch(driver, host.os.family);
            host.nvidia = Some(NvidiaDriver {
                version: Some(driver.clone()),
                kernel_version: Some(driver),
                cuda: None,
                open_module: None,
            });
        }
        self.system(&mut host)?;
        Ok(host)
    }

    /// The changes of the system.
    fn system(&self, host: &mut Host) -> Result<(), WhatIfError> {
        if let Some(version) = &self.macos {
            if host.os.family != Os::Macos {
                return Err(WhatIfError::NotMacos);
            }
            host.os.version = version.to_string();
            host.os.name = format!("macOS {version}");
        }
        if let Some(version) = &self.glibc {
            let part = |at: usize| {
                let part = version.release().get(at);
                part.and_then(|part| u16::try_from(*part).ok())
            };
            let Some(Libc::Glibc { .. }) = host.os.libc else {
                return Err(WhatIfError::NoGlibc);
            };
            let (Some(major), Some(minor)) = (part(0), part(1)) else {
                return Err(WhatIfError::BadGlibc(version.clone()));
            };
            host.os.libc = Some(Libc::Glibc { major, minor });
        }
        Ok(())
    }
}

/// A card by its name, as it would be in a machine.
fn card(name: &str, os: Os) -> Result<Gpu, WhatIfError> {
    let model = gpus::by_name(name).map_err(|error| {
        let name = name.to_owned();
        match error {
            NotTold::Unknown(nearest) => WhatIfError::UnknownGpu { name, nearest },
            NotTold::Several(models) => WhatIfError::SeveralGpus { name, models },
        }
    })?;
    if model.vendor == GpuVendor::Apple && os != Os::Macos {
        return Err(WhatIfError::AppleElsewhere(model.name));
    }
    Ok(Gpu {
        vendor: model.vendor,
        name: model.name,
        pci_id: None,
        pci_address: None,
        compute_capability: model.facts.compute_capability,
        integrated: model.facts.integrated,
        gfx: model.facts.gfx,
        memory_bytes: model.facts.memory_bytes,
        kernel_driver: None,
    })
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
    /// A driver without a card.
    #[error("this machine has no NVIDIA GPU for the driver")]
    NoCard,
    /// A GPU of Apple's in another machine.
    #[error("the {0} comes in machines of Apple's only, and this is none")]
    AppleElsewhere(String),
    /// A version of macOS elsewhere.
    #[error("this machine does not run macOS")]
    NotMacos,
    /// A version of a C library that the machine does not have.
    #[error("this machine has no GNU C library")]
    NoGlibc,
    /// A version of the C library without its two numbers.
    #[error("`{0}` is not a version of the GNU C library")]
    BadGlibc(Version),
}

impl UserError for WhatIfError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownGpu { .. } => "what-if.unknown-gpu",
            Self::SeveralGpus { .. } => "what-if.several-gpus",
            Self::NoCard => "what-if.no-card",
            Self::AppleElsewhere(_) => "what-if.apple-elsewhere",
            Self::NotMacos => "what-if.not-macos",
            Self::NoGlibc => "what-if.no-glibc",
            Self::BadGlibc(_) => "what-if.bad-glibc",
        }
    }

    fn hint(&self) -> Option<String> {
        let other = "`--host FILE` starts from another machine (written by `aienv host --json`)";
        Some(match self {
            Self::UnknownGpu { nearest, .. } if nearest.is_empty() => format!(
                "aienv never guesses what a GPU can do; on a machine that has it, `aienv host \
                 --json` tells, and {other}"
            ),
            Self::UnknownGpu { nearest, .. } => {
                format!("the nearest are `{}`", nearest.join("`, `"))
            }
            Self::SeveralGpus { models, .. } => format!("say which: `{}`", models.join("`, `")),
            Self::NoCard => "give one with `--gpu \"RTX 3060\"`".to_owned(),
            Self::AppleElsewhere(_) | Self::NotMacos | Self::NoGlibc => other.to_owned(),
            Self::BadGlibc(_) => "write it like 2.35".to_owned(),
        })
    }

    fn is_usage(&self) -> bool {
        true
    }
}
