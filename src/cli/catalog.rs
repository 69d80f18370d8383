//! `aienv catalog`

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;

use super::{Context, Outcome, output};
use crate::{
    catalog::{CatalogError, Finding, InvalidManifest, Loaded},
    compat,
    error::UserError,
    solve,
};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check manifests: every problem with its place
    ///
    /// Also what can never be satisfied, on any machine: contradictory requirements, a Python or an
    /// accelerator for which no accepted torch has a build. Without FILE, the manifests that are part of aienv and those in the user's folders, and
    /// whether aienv's tables of facts agree with each other.
    Lint(LintArgs),
    /// Compare the table of torch releases with what the package index says
    ///
    /// Reads names and metadata of torch's wheels and of its companions, and the lists of the
    /// torch wheel indexes where they answer. What a build holds code for is not read: that would
    /// mean downloading it. Ends with code 1 where something disagrees.
    Facts(super::facts::Args),
}

#[derive(clap::Args)]
struct LintArgs {
    /// Manifest files
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the problems as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Lint(args) => lint(&args, context),
        Command::Facts(args) => super::facts::run(&args, context),
    }
}

/// One problem of one file.
#[derive(Serialize)]
struct Problem<'a> {
    file: &'a str,
    #[serde(flatten)]
    finding: Option<&'a Finding>,
    /// What has no place in the file: it could not be read, or two tables disagree.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn lint(args: &LintArgs, context: &Context) -> Outcome {
    let (checked, broken, facts) = if args.files.is_empty() {
        let catalog = context.catalog_quietly()?;
        let impossible: Vec<_> = catalog.entries().filter_map(impossible).collect();
        let files = catalog.files();
        let broken = catalog.into_broken().into_iter().chain(impossible);
        (files, broken.collect::<Vec<_>>(), compat::lint())
    } else {
        let files = args.files.iter();
        let broken = files.filter_map(|file| match Loaded::from_file(file) {
            Ok(loaded) => impossible(&loaded),
            Err(error) => Some(error),
        });
        (args.files.len(), broken.collect(), Vec::new())
    };
    let tables: Vec<String> = facts
        .iter()
        .map(|fact| format!("compat/{}", fact.table))
        .collect();
    if args.json {
        let files: Vec<String> = broken.iter().map(file_of).collect();
        let problems: Vec<Problem<'_>> = broken
            .iter()
            .zip(&files)
            .flat_map(|(error, file)| problems(error, file))
            .chain(facts.iter().zip(&tables).map(|(fact, file)| Problem {
                file,
                finding: None,
                error: Some(format!("{}: {}", fact.about, fact.message)),
            }))
            .collect();
        output::json(&problems)?;
    } else {
        for error in &broken {
            output::print(&report(error))?;
        }
        for fact in &facts {
            output::print(&format!("compat/{fact}\n"))?;
        }
    }
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let mut checked = format!("{checked} manifest{}", s(checked));
    if args.files.is_empty() {
        checked.push_str(" and the tables of facts");
    }
    let checked = format!("{checked} checked");
    let count = broken.iter().map(count_problems).sum::<usize>() + facts.len();
    if count == 0 {
        context.progress.done(&format!("{checked}, no problems"));
        return Ok(ExitCode::SUCCESS);
    }
    context
        .progress
        .done(&format!("{checked}, {count} problem{}", s(count)));
    Ok(ExitCode::FAILURE)
}

/// What of a manifest can never be satisfied, as problems of its file.
fn impossible(loaded: &Loaded) -> Option<CatalogError> {
    let found = solve::lint(&loaded.manifest).into_iter();
    let findings: Vec<Finding> = found
        .map(|one| Finding::at(&loaded.text, &one.place, one.why))
        .collect();
    (!findings.is_empty()).then(|| {
        CatalogError::Invalid(InvalidManifest {
            file: loaded.origin.file(&loaded.manifest.name),
            findings,
        })
    })
}

fn count_problems(error: &CatalogError) -> usize {
    match error {
        CatalogError::Invalid(invalid) => invalid.findings.len(),
        _ => 1,
    }
}

fn file_of(error: &CatalogError) -> String {
    match error {
        CatalogError::Invalid(invalid) => invalid.file.clone(),
        CatalogError::Unreadable { path, .. }
        | CatalogError::UnreadableFolder { path, .. }
        | CatalogError::TooLarge { path, .. }
        | CatalogError::Duplicate { second: path, .. } => path.display().to_string(),
        CatalogError::Unknown { reference, .. } => reference.clone(),
    }
}

fn problems<'a>(error: &'a CatalogError, file: &'a str) -> Vec<Problem<'a>> {
    match error {
        CatalogError::Invalid(invalid) => invalid
            .findings
            .iter()
            .map(|finding| Problem {
                file,
                finding: Some(finding),
                error: None,
            })
            .collect(),
        other => vec![Problem {
            file,
            finding: None,
            error: Some(with_cause(other)),
        }],
    }
}

fn with_cause(error: &CatalogError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn report(error: &CatalogError) -> String {
    match error {
        CatalogError::Invalid(invalid) => invalid
            .findings
            .iter()
            .map(|finding| format!("{}:{finding}\n", invalid.file))
            .collect(),
        other => {
            let hint = other.hint().map(|hint| format!(" ({hint})"));
            format!("{}{}\n", with_cause(other), hint.unwrap_or_default())
        }
    }
}
