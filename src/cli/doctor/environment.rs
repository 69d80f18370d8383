//! `aienv doctor TOOL` and `aienv doctor --python PATH`: the checks of one environment.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use console::style;
use serde::Serialize;

use super::machine;
use crate::{
    cli::{Context, Failure, Outcome, output},
    doctor::{
        environment::{
            self, Environment, Examined, Options, Subject, Variables, ask, examine_tool,
        },
        machine::{Level, Verdict},
        repair,
        report::{Line, apart},
    },
    host::Host,
    tools::{InstallOptions, ToolError},
};

#[derive(clap::Args)]
pub struct EnvironmentArgs {
    /// An installed tool: check its environment and try it
    #[arg(conflicts_with_all = ["python", "log", "evidence", "from", "report", "probe", "network"])]
    tool: Option<String>,
    /// Check any environment, by its interpreter or its folder: a virtual environment, conda, a
    /// Python installation
    #[arg(long, value_name = "PATH",
          conflicts_with_all = ["log", "evidence", "from", "report", "probe", "network", "fix"])]
    python: Option<PathBuf>,
    /// With a tool or --python: compare the content of every file, which takes longer
    #[arg(long)]
    deep: bool,
    /// With a tool or --python: only read files, start nothing of the environment
    #[arg(long)]
    no_run: bool,
    /// With a tool or --python: judge it for the machine that `aienv host --json` described
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
}

/// Which environment is asked about.
pub enum Asked<'a> {
    /// That of an installed tool.
    Tool(&'a str),
    /// Any, by a path.
    At(&'a Path),
}

impl EnvironmentArgs {
    /// What is asked about, if it is an environment.
    pub fn asked(&self) -> Option<Asked<'_>> {
        let tool = self.tool.as_deref().map(Asked::Tool);
        tool.or_else(|| self.python.as_deref().map(Asked::At))
    }
}

/// The JSON form of what was found.
#[derive(Serialize)]
struct Answer {
    aienv: &'static str,
    /// What was looked at.
    subject: String,
    /// No problem was found.
    healthy: bool,
    /// What is broken and what is worth knowing, the surest first.
    findings: Vec<Verdict>,
    /// What works, a line each.
    works: Vec<Line>,
}

pub fn run(
    args: &EnvironmentArgs,
    asked: Asked<'_>,
    fix: bool,
    json: bool,
    context: &Context,
) -> Outcome {
    let host = match &args.host {
        Some(file) => Host::load(file)?,
        None => Host::detect(context.home.root()),
    };
    if let (Asked::Tool(tool), true) = (&asked, fix) {
        mend(tool, &host, context)?;
    }
    context.progress.step("Looking at the environment");
    let examined = examine(args, &asked, &host, context)?;
    context.progress.clear();
    let healthy = !examined.has_problems();
    let (works, findings) = apart(examined.verdicts);
    let answer = Answer {
        aienv: env!("CARGO_PKG_VERSION"),
        subject: examined.title,
        healthy,
        findings,
        works,
    };
    match json {
        true => output::json(&answer)?,
        false => output::print(&page(&answer))?,
    };
    Ok(ExitCode::from(u8::from(!healthy)))
}

fn examine(
    args: &EnvironmentArgs,
    asked: &Asked<'_>,
    host: &Host,
    context: &Context,
) -> Result<Examined, Failure> {
    let options = Options {
        deep: args.deep,
        only_read: args.no_run,
    };
    let torch_index = context.settings()?.torch.value;
    Ok(match asked {
        Asked::Tool(tool) => {
            let examined = examine_tool(&context.manager()?, tool, host, &torch_index, options);
            if let Err(ToolError::NotInstalled { .. }) = examined {
                // Of a slip of the pen the catalogue knows more.
                let catalog = context.catalog_quietly()?;
                catalog.resolve(tool)?;
            }
            examined?
        }
        Asked::At(path) => {
            let found = match args.no_run {
                true => Environment::locate(path, None)?,
                false => Environment::locate(path, Some(&ask))?,
            };
            let variables = Variables::of_process();
            let subject = Subject::read(found, None, host, variables, &torch_index, options);
            environment::examine(&subject)
        }
    })
}

/// Mends what is wrong with a tool, as far as that lies in aienv's own folders.
fn mend(tool: &str, host: &Host, context: &Context) -> Result<(), Failure> {
    let manager = context.manager()?;
    context.progress.step("Comparing every file");
    if let Some(trouble) = repair::trouble_of(&manager, host, tool)? {
        let done = repair::mend(&manager, &trouble, &InstallOptions::default())?;
        let mark = style("✓").green().for_stderr();
        context.progress.done(&format!("{mark} {done}"));
    }
    Ok(())
}

/// What works, what does not, what is worth knowing.
fn page(answer: &Answer) -> String {
    let mut page = format!("{}\n\n", style(&answer.subject).bold());
    machine::sections(&mut page, &answer.works, &answer.findings, false);
    let count = |level: Level| {
        let of_level = answer.findings.iter().filter(|found| found.level == level);
        of_level.count()
    };
    let end = machine::summary(count(Level::Problem), count(Level::Note));
    let _ = writeln!(page, "\n{}", style(end).bold());
    page
}
