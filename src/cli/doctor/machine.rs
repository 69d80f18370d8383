//! `aienv doctor` on the machine: checks, probe, report, repairs.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use console::style;

use super::{fixes, item, wrapped};
use crate::{
    cli::{Context, Failure, Outcome, output},
    doctor::{
        environment,
        machine::{Level, Machine, Verdict, checks, network},
        probe::{self, Api, ApiReport},
        redact::{Private, Redactor},
        repair::{self, ToolTrouble},
        report::{Line, Report},
    },
    error::UserError,
    tools::InstallOptions,
};

/// The file that `--report` writes by default.
const REPORT: &str = "aienv-report.json";

#[derive(clap::Args)]
pub struct MachineArgs {
    /// Let each GPU compute: loads the driver, runs a small kernel, measures copying
    #[arg(long, conflicts_with_all = ["from", "log", "evidence"])]
    probe: bool,
    /// Seconds that one call of a driver may take in a probe
    #[arg(long, value_name = "SECONDS", default_value_t = probe::LIMIT.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=3600), hide_default_value = true)]
    probe_limit: u64,
    /// Ask the places that aienv downloads from whether they answer
    #[arg(long, conflicts_with_all = ["from", "log", "evidence"])]
    network: bool,
    /// Mend what can be mended in aienv's own folders
    #[arg(long, conflicts_with_all = ["from", "log", "evidence"])]
    fix: bool,
    /// Write what was found for a bug report, without names, addresses and keys; as JSON, or as
    /// text to a FILE that ends in `.txt` or `.md` [default: aienv-report.json]
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = REPORT,
          conflicts_with_all = ["log", "evidence"])]
    report: Option<PathBuf>,
    /// Judge the machine of such a report instead of this one
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["log", "evidence"])]
    from: Option<PathBuf>,
    /// List the checks: what each looks at, and why
    #[arg(long, exclusive = true)]
    list_checks: bool,
}

impl MachineArgs {
    /// Whether to mend what can be mended.
    pub fn fix(&self) -> bool {
        self.fix
    }
}

pub fn run(args: &MachineArgs, json: bool, context: &Context) -> Outcome {
    if args.list_checks {
        return output::print(&list());
    }
    let machine = match &args.from {
        Some(file) => Machine::load(file)?,
        None => Machine::detect(&context.home),
    };
    let mut verdicts = checks::run(&machine);
    let mut probed = Vec::new();
    let mut troubles = Vec::new();
    if args.from.is_none() {
        if args.network {
            verdicts.extend(ask_network(context)?);
        }
        let examined = examine(args, &machine, context);
        verdicts.extend(examined.0);
        troubles = examined.1;
        if args.probe {
            probed = probe_all(args, &machine, context, &mut verdicts)?;
        }
    }
    if args.fix {
        mend(&troubles, &mut verdicts, context)?;
    }
    let report = Report::new(machine, verdicts, probed);
    if let Some(file) = &args.report {
        write(&report, file)?;
        context
            .progress
            .done(&format!("wrote `{}`", file.display()));
    }
    match json {
        true => output::json(&report)?,
        false => output::print(&render(&report, args))?,
    };
    Ok(ExitCode::from(u8::from(!report.healthy)))
}

fn ask_network(context: &Context) -> Result<Vec<Verdict>, Failure> {
    context
        .progress
        .step("Asking the places that aienv downloads from");
    let settings = context.settings()?;
    Ok(network::check(&settings).map_err(DoctorError::Threads)?)
}

/// The tools. Settings that cannot be used are a finding, not the end.
fn examine(
    args: &MachineArgs,
    machine: &Machine,
    context: &Context,
) -> (Vec<Verdict>, Vec<ToolTrouble>) {
    match context.manager() {
        Ok(manager) => {
            let examined = repair::examine(&manager, &machine.host, args.fix);
            (examined.verdicts, examined.troubles)
        }
        Err(failure) => {
            let mut verdict = Verdict::problem("aienv's settings cannot be used")
                .because("No command that plans or installs works until they are mended.")
                .seen(failure.told());
            verdict.check = "settings";
            (vec![verdict], Vec::new())
        }
    }
}

/// Tries every interface that may be there, each in a process of its own.
fn probe_all(
    args: &MachineArgs,
    machine: &Machine,
    context: &Context,
    verdicts: &mut Vec<Verdict>,
) -> Result<Vec<ApiReport>, Failure> {
    let program = std::env::current_exe().map_err(DoctorError::Program)?;
    let limit = Duration::from_secs(args.probe_limit);
    let mut reports = Vec::new();
    let mut says_something = false;
    for api in Api::ALL {
        context
            .progress
            .step(&format!("Trying the GPUs with {api}"));
        let report = probe::run(&program, api, limit);
        let judged = probe::judge(&report, machine);
        says_something |= !judged.is_empty();
        probe::join(verdicts, judged);
        reports.push(report);
    }
    if !says_something {
        let mut note = Verdict::note("there was nothing to try: no driver of CUDA or HIP is here");
        note.check = "probe";
        verdicts.push(note);
    }
    Ok(reports)
}

/// Mends every tool that can be mended. What was mended is no problem any more; what could not be
/// stays one, with the reason.
fn mend(
    troubles: &[ToolTrouble],
    verdicts: &mut Vec<Verdict>,
    context: &Context,
) -> Result<(), Failure> {
    if troubles.is_empty() {
        let unread = ["settings", repair::ID];
        let hidden =
            |verdict: &Verdict| verdict.level == Level::Problem && unread.contains(&verdict.check);
        if !verdicts.iter().any(hidden) {
            let what = "nothing in aienv's own folders needs mending";
            verdicts.push(repair::mended(what.to_owned()));
        }
        return Ok(());
    }
    let manager = context.manager()?;
    for trouble in troubles {
        let about = |verdict: &Verdict| repair::is_about(verdict, trouble);
        match repair::mend(&manager, trouble, &InstallOptions::default()) {
            Ok(done) => {
                context
                    .progress
                    .done(&format!("{} {done}", style("✓").green().for_stderr()));
                verdicts.retain(|verdict| !about(verdict));
                verdicts.push(repair::mended(done));
            }
            Err(error) => {
                let failure = Failure::from(error);
                if let Some(verdict) = verdicts.iter_mut().find(|verdict| about(verdict)) {
                    verdict
                        .evidence
                        .push(format!("mending it failed: {}", failure.told()));
                }
                failure.report(false, false);
            }
        }
    }
    Ok(())
}

/// Writes the report without anything private: as JSON, or as the page that people read.
fn write(report: &Report, file: &Path) -> Result<(), DoctorError> {
    let is_text = file
        .extension()
        .is_some_and(|extension| extension == "txt" || extension == "md");
    let text = match is_text {
        true => {
            let page = page(report, true);
            Redactor::new(&Private::of_process()).text(&console::strip_ansi_codes(&page))
        }
        false => {
            let value = report.redacted().map_err(DoctorError::Form)?;
            serde_json::to_string_pretty(&value).map_err(DoctorError::Form)? + "\n"
        }
    };
    fs::write(file, text).map_err(|source| DoctorError::Write {
        path: file.to_owned(),
        source,
    })
}

fn render(report: &Report, args: &MachineArgs) -> String {
    let mut page = page(report, false);
    let count = |level| report.at(level).count();
    let problems = count(Level::Problem);
    let end = summary(problems, count(Level::Note));
    let _ = writeln!(page, "\n{}", style(end).bold());
    if problems > 0 && args.report.is_none() {
        let _ = writeln!(
            page,
            "`aienv doctor --report` writes what to attach to a question or bug report."
        );
    }
    page
}

/// How many problems and notes there are, in words.
pub(super) fn summary(problems: usize, notes: usize) -> String {
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match (problems, notes) {
        (0, 0) => "No problem was found.".to_owned(),
        (0, notes) => format!("No problem was found; {}.", plural(notes, "note")),
        (problems, 0) => format!("{}.", plural(problems, "problem")),
        (problems, notes) => format!(
            "{}, {}.",
            plural(problems, "problem"),
            plural(notes, "note")
        ),
    }
}

/// What works, what does not, what is worth knowing.
fn page(report: &Report, full: bool) -> String {
    let mut page = String::new();
    sections(&mut page, &report.works, &report.findings, full);
    page
}

/// The same for any list of findings.
pub(super) fn sections(page: &mut String, works: &[Line], findings: &[Verdict], full: bool) {
    if !works.is_empty() {
        let _ = writeln!(page, "{}", style("Works").bold());
        for line in works {
            item(page, &format!("{} ", style("✓").green()), &line.title);
        }
    }
    for (level, heading) in [(Level::Problem, "Problems"), (Level::Note, "Notes")] {
        let of_level = findings.iter().filter(|verdict| verdict.level == level);
        for (place, verdict) in of_level.enumerate() {
            if place == 0 {
                let gap = if page.is_empty() { "" } else { "\n" };
                let _ = writeln!(page, "{gap}{}", style(heading).bold());
            } else if level == Level::Problem || full {
                page.push('\n');
            }
            finding(page, verdict, full);
        }
    }
}

fn finding(page: &mut String, verdict: &Verdict, full: bool) {
    let mark = match verdict.level {
        Level::Problem => style("✗").red().to_string(),
        _ => style("·").yellow().to_string(),
    };
    item(
        page,
        &format!("{mark} "),
        &style(&verdict.title).bold().to_string(),
    );
    for line in wrapped(&verdict.explanation, super::WIDTH - 4) {
        if !line.is_empty() {
            let _ = writeln!(page, "    {line}");
        }
    }
    let is_problem = verdict.level == Level::Problem;
    if is_problem || full {
        for seen in &verdict.evidence {
            for line in wrapped(&format!("seen: {seen}"), super::WIDTH - 4) {
                let _ = writeln!(page, "    {}", style(line).dim());
            }
        }
    }
    let mut steps = String::new();
    fixes(&mut steps, &verdict.fix);
    for line in steps.lines() {
        let _ = writeln!(page, "  {line}");
    }
    if full {
        let cause = verdict.cause.map(|cause| format!(", {cause}"));
        let _ = writeln!(page, "    [{}{}]", verdict.check, cause.unwrap_or_default());
    }
}

/// Every check with its reason.
fn list() -> String {
    let mut page = String::new();
    let own = [
        (network::ID, network::LOOKS_AT, network::WHY),
        (repair::ID, repair::LOOKS_AT, repair::WHY),
    ];
    let checks = checks::ALL
        .iter()
        .map(|check| (check.id, check.looks_at, check.why));
    let of_environments = environment::checks::ALL.iter().copied();
    for (id, looks_at, why) in checks.chain(own).chain(of_environments) {
        let _ = writeln!(page, "{}", style(id).bold());
        item(&mut page, "looks at ", looks_at);
        item(&mut page, "", why);
    }
    page
}

/// Why doctor could not do what was asked.
#[derive(Debug, thiserror::Error)]
enum DoctorError {
    #[error("cannot write the report `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the report has no JSON form")]
    Form(#[source] serde_json::Error),
    #[error("the system gave no threads to ask the network with")]
    Threads(#[source] io::Error),
    #[error("aienv cannot find its own program, which the probe needs")]
    Program(#[source] io::Error),
}

impl UserError for DoctorError {
    fn code(&self) -> &'static str {
        match self {
            Self::Write { .. } => "doctor.report-write",
            Self::Form(_) => "doctor.report-form",
            Self::Threads(_) => "doctor.threads",
            Self::Program(_) => "doctor.program",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { .. } => Some("name another file: `--report FILE`".to_owned()),
            _ => None,
        }
    }
}
