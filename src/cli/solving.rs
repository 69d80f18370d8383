//! Options shared by every command that plans.

use std::path::PathBuf;

use super::Failure;
use crate::{
    error::UserError,
    host::Host,
    tools::PlanOptions,
    types::{PackageName, PythonVersion},
};

/// How to plan.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SolvingArgs {
    /// Accelerator build: `cpu`, `cuda`, `cu128`, `rocm`, `rocm6.4`, `xpu` or `mps`
    #[arg(long, value_name = "BUILD")]
    accel: Option<String>,
    /// Python version, such as 3.12
    #[arg(long, value_name = "X.Y")]
    python: Option<PythonVersion>,
    /// Plan for the machine in this file (written by `aienv host --json`)
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Allow building this package from source; may be repeated
    #[arg(long, value_name = "PACKAGE", conflicts_with = "only_wheels")]
    allow_build: Vec<PackageName>,
    /// Build nothing from source, even where the manifest allows it
    #[arg(long)]
    only_wheels: bool,
    /// Let builds from source use the network
    #[arg(long)]
    build_network: bool,
    /// Take the newest versions even where the store already holds ones that fit
    #[arg(long)]
    fresh: bool,
}

impl SolvingArgs {
    /// `--accel` as typed; it is kept for upgrades.
    pub fn accel(&self) -> Option<&str> {
        self.accel.as_deref()
    }

    /// Whether `--fresh` was given.
    pub fn fresh(&self) -> bool {
        self.fresh
    }

    /// As the tools room takes them.
    pub fn options(&self) -> Result<PlanOptions, Failure> {
        Ok(PlanOptions {
            accelerator: self
                .accel
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(BadAccelerator)?,
            python: self.python,
            host: self.host.as_deref().map(Host::load).transpose()?,
            build: self.allow_build.iter().cloned().collect(),
            only_wheels: self.only_wheels,
            build_network: self.build_network,
            fresh: self.fresh,
        })
    }
}

/// `--accel` names no build.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadAccelerator(String);

impl UserError for BadAccelerator {
    fn code(&self) -> &'static str {
        "usage.accelerator"
    }

    fn is_usage(&self) -> bool {
        true
    }
}
