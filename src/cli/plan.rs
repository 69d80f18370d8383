//! `aienv plan`

use console::{measure_text_width, style};
use serde::Serialize;

use super::{Context, Outcome, output, solving::SolvingArgs};
use crate::{
    lock::{Lock, LockedPackage},
    solve::{Choice, Plan, Requested, WayOut},
    tools::{Manager, Planned},
    types::human_bytes,
};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue (`TOOL==VERSION` for one version of it), or the path of a manifest
    #[arg(required = true, value_name = "TOOL")]
    tools: Vec<String>,
    #[command(flatten)]
    solving: SolvingArgs,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let wanted = args
        .tools
        .iter()
        .map(|tool| manager.wanted(tool))
        .collect::<Result<Vec<_>, _>>()?;
    let plans = manager.plan_all(&wanted, &args.solving.options()?)?;
    context.progress.clear();
    if args.json {
        let all: Vec<_> = plans
            .iter()
            .map(|planned| JsonPlan::new(planned, &manager))
            .collect();
        return match &all[..] {
            [one] => output::json(one),
            many => output::json(&many),
        };
    }
    let texts: Vec<_> = plans
        .iter()
        .map(|planned| render(planned, &manager))
        .collect();
    output::print(&texts.join("\n"))
}

/// The plan as people read it, every package included.
pub fn render(planned: &Planned, manager: &Manager) -> String {
    format!(
        "{}{}\n{}",
        head(&planned.plan),
        table(&planned.plan),
        tail(&planned.plan, manager)
    )
}

/// The plan without its packages: what was decided, and why.
pub fn summary(planned: &Planned, manager: &Manager) -> String {
    head(&planned.plan) + &tail(&planned.plan, manager)
}

fn head(plan: &Plan) -> String {
    let lock = &plan.lock;
    let tool = style(&lock.tool).bold();
    let mut text = format!("{tool} {} for {}\n\n", lock.version, lock.target);
    text += &decided(&plan.choices);
    text.push('\n');
    text
}

/// The choices with their reasons, in columns.
pub fn decided(choices: &[Choice]) -> String {
    let what = choices
        .iter()
        .map(|choice| measure_text_width(&choice.what));
    let what = what.max().unwrap_or(0);
    // A fact without a reason, the machine, may be as long as it is.
    let chosen = choices.iter().filter(|choice| !choice.why.is_empty());
    let chosen = chosen.map(|choice| measure_text_width(&choice.chosen));
    let chosen = chosen.max().unwrap_or(0);
    let mut text = String::new();
    for Choice {
        what: name,
        chosen: value,
        why,
    } in choices
    {
        let why = style(why).dim();
        let line = format!("  {name:what$}  {value:chosen$}  {why}");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn tail(plan: &Plan, manager: &Manager) -> String {
    let mut text = format!("  {}\n", totals(plan, manager));
    if let Some(tree) = &plan.lock.tree {
        let commit = tree.commit.get(..12).unwrap_or(&tree.commit);
        text += &format!("  source: {} at {commit}\n", tree.repository);
    }
    if !plan.lock.environment.is_empty() {
        let set = plan.lock.environment.iter();
        let set: Vec<_> = set.map(|(name, value)| format!("{name}={value}")).collect();
        text += &format!("  sets unless you do: {}\n", set.join(" "));
    }
    // What stands beside a choice already is not said again.
    let told = |note: &&String| plan.choices.iter().any(|choice| choice.why == **note);
    for note in plan.notes.iter().filter(|note| !told(note)) {
        text += &format!("  {} {note}\n", style("note:").yellow());
    }
    let ways: Vec<_> = plan.ways_to_a_gpu().collect();
    if !ways.is_empty() {
        let label = style("note:").yellow();
        text += &format!("  {label} the GPU would be used with\n");
    }
    for way in ways {
        text += &format!("        {}\n", way.text);
    }
    text
}

/// `107 packages, 1.2 GB to download (5.1 GB already here)`.
pub fn totals(plan: &Plan, manager: &Manager) -> String {
    let (mut bytes, mut unknown, mut held) = (0, 0, 0);
    for package in &plan.lock.packages {
        match (manager.holds(package), package.artifact.size) {
            (true, size) => held += size.unwrap_or(0),
            (false, Some(size)) => bytes += size,
            (false, None) => unknown += 1,
        }
    }
    let count = plan.lock.packages.len();
    let mut text = format!("{count} package{}, ", if count == 1 { "" } else { "s" });
    text += &match (bytes, unknown) {
        (0, 0) => "nothing to download".to_owned(),
        (bytes, 0) => format!("{} to download", human_bytes(bytes)),
        (0, 1) => "1 file of unknown size to download".to_owned(),
        (0, n) => format!("{n} files of unknown size to download"),
        (bytes, n) => format!(
            "{} to download and {n} files of unknown size",
            human_bytes(bytes)
        ),
    };
    if held > 0 {
        text += &format!(" ({} already here)", human_bytes(held));
    }
    text
}

fn table(plan: &Plan) -> String {
    let rows: Vec<[String; 5]> = plan
        .lock
        .packages
        .iter()
        .map(|package| row(plan, package))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (name, version, size, from) = (width(0), width(1), width(2), width(3));
    let mut text = String::new();
    for [a, b, c, d, e] in &rows {
        text += &format!(
            "  {a:name$}  {b:version$}  {c:>size$}  {d:from$}  {}\n",
            style(e).dim()
        );
    }
    text
}

fn row(plan: &Plan, package: &LockedPackage) -> [String; 5] {
    let size = package
        .artifact
        .size
        .map_or_else(|| "?".to_owned(), human_bytes);
    let host = url::Url::parse(&package.artifact.url).ok();
    let host = host
        .as_ref()
        .and_then(url::Url::host_str)
        .unwrap_or("?")
        .to_owned();
    let kind = match package.artifact.kind {
        crate::lock::ArtifactKind::Wheel => host,
        crate::lock::ArtifactKind::Sdist => format!("{host} (built from source)"),
    };
    [
        package.name.to_string(),
        package.version.to_string(),
        size,
        kind,
        because(plan, package),
    ]
}

fn because(plan: &Plan, package: &LockedPackage) -> String {
    let Some(requested) = plan.requested.get(&package.name) else {
        return String::new();
    };
    match &requested[..] {
        [] => String::new(),
        [Requested { by, requirement }] => format!("{by} needs {requirement}"),
        [Requested { by, requirement }, rest @ ..] => {
            format!("{by} needs {requirement} (and {} more)", rest.len())
        }
    }
}

#[derive(Serialize)]
pub struct JsonPlan<'a> {
    tool: &'a str,
    version: String,
    accelerator: String,
    python: &'a crate::lock::LockedPython,
    target: &'a crate::types::Target,
    prefix: String,
    choices: &'a [Choice],
    notes: &'a [String],
    environment: &'a std::collections::BTreeMap<String, String>,
    ways: &'a [WayOut],
    download_bytes: u64,
    unknown_sizes: usize,
    tree: Option<&'a crate::lock::LockedTree>,
    packages: Vec<JsonPackage<'a>>,
}

#[derive(Serialize)]
struct JsonPackage<'a> {
    name: String,
    version: String,
    file: &'a str,
    url: &'a str,
    size: Option<u64>,
    sha256: String,
    held: bool,
    requested: &'a [Requested],
}

impl<'a> JsonPlan<'a> {
    pub fn new(planned: &'a Planned, manager: &Manager) -> Self {
        let Planned { plan, .. } = planned;
        let lock: &Lock = &plan.lock;
        let packages: Vec<_> = lock
            .packages
            .iter()
            .map(|package| JsonPackage {
                name: package.name.to_string(),
                version: package.version.to_string(),
                file: &package.artifact.file_name,
                url: &package.artifact.url,
                size: package.artifact.size,
                sha256: package.artifact.sha256.to_string(),
                held: manager.holds(package),
                requested: plan.requested.get(&package.name).map_or(&[], Vec::as_slice),
            })
            .collect();
        Self {
            tool: &lock.tool,
            version: lock.version.to_string(),
            accelerator: lock.accelerator.to_string(),
            python: &lock.python,
            target: &lock.target,
            prefix: lock.prefix_name(),
            choices: &plan.choices,
            notes: &plan.notes,
            environment: &lock.environment,
            ways: &plan.ways,
            download_bytes: packages
                .iter()
                .filter(|p| !p.held)
                .filter_map(|p| p.size)
                .sum(),
            unknown_sizes: packages
                .iter()
                .filter(|p| !p.held && p.size.is_none())
                .count(),
            tree: lock.tree.as_ref(),
            packages,
        }
    }
}
