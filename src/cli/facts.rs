//! `aienv catalog facts`

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, process::ExitCode};

use serde::Serialize;

use super::{Context, Failure, Outcome, output};
use crate::{
    compat::{
        compare::{Comparison, compare},
        torch::TorchFacts,
    },
    error::UserError,
    tools::facts,
};

#[derive(clap::Args)]
pub struct Args {
    /// Feature releases of torch, such as 2.14; all of the table by default
    #[arg(value_name = "RELEASE")]
    releases: Vec<String>,
    /// A table to compare instead of the one that is part of aienv
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Print every fact as JSON, those that agree too
    #[arg(long)]
    json: bool,
}

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    facts: &'a [Comparison],
    /// What was not compared, and why.
    skipped: &'a [String],
}

pub fn run(args: &Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let mut table = table(args)?;
    let releases: Vec<String> = table.torch.iter().map(|r| r.release.to_string()).collect();
    if let Some(unknown) = args.releases.iter().find(|name| !releases.contains(name)) {
        return Err(FactsError::UnknownRelease {
            name: unknown.clone(),
            known: releases,
        }
        .into());
    }
    let all = args.releases.is_empty();
    if !all {
        table
            .torch
            .retain(|release| args.releases.contains(&release.release.to_string()));
    }
    let answer = facts::ask(&manager, &table).map_err(Failure::from)?;
    context.progress.clear();
    let mut found = compare(&table, &answer.published);
    if !all {
        // Releases outside of the question are not missing.
        found.retain(|fact| fact.table != "lacks it");
    }
    let disagreeing = found.iter().filter(|fact| !fact.agrees).count();
    if args.json {
        output::json(&Report {
            facts: &found,
            skipped: &answer.skipped,
        })?;
    } else {
        output::print(&report(&found))?;
    }
    for skipped in &answer.skipped {
        output::note(context, &format!("not compared: {skipped}"));
    }
    let told = format!("{} facts compared, {disagreeing} disagree", found.len());
    context.progress.done(&told);
    Ok(if disagreeing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The embedded table, or that of a file.
fn table(args: &Args) -> Result<TorchFacts, FactsError> {
    let Some(path) = &args.table else {
        return Ok(TorchFacts::embedded().clone());
    };
    let text = std::fs::read_to_string(path).map_err(|source| FactsError::Unreadable {
        path: path.clone(),
        source,
    })?;
    TorchFacts::read(&text).map_err(|source| FactsError::BadTable {
        path: path.clone(),
        source: Box::new(source),
    })
}

/// One line per subject, and one below it per disagreement.
fn report(found: &[Comparison]) -> String {
    let mut order: Vec<&str> = Vec::new();
    let mut subjects: BTreeMap<&str, Vec<&Comparison>> = BTreeMap::new();
    for fact in found {
        if !subjects.contains_key(fact.about.as_str()) {
            order.push(&fact.about);
        }
        subjects.entry(&fact.about).or_default().push(fact);
    }
    let width = order.iter().map(|about| about.len()).max().unwrap_or(0);
    let mut text = String::new();
    for about in order {
        let facts = &subjects[about];
        let wrong: Vec<_> = facts.iter().filter(|fact| !fact.agrees).collect();
        let _ = match (facts.len(), wrong.len()) {
            (1, 0) => writeln!(text, "{about:width$}  1 fact agrees"),
            (all, 0) => writeln!(text, "{about:width$}  {all} facts agree"),
            (all, wrong) => writeln!(text, "{about:width$}  {wrong} of {all} disagree"),
        };
        for fact in wrong {
            let Comparison {
                fact, table, index, ..
            } = fact;
            let _ = writeln!(
                text,
                "  {fact}: the table says `{table}`, the index `{index}`"
            );
        }
    }
    text
}

/// The question cannot be asked this way.
#[derive(Debug, thiserror::Error)]
enum FactsError {
    /// A release the table does not have.
    #[error("the table has no torch {name}")]
    UnknownRelease {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no such table.
    #[error("`{path}` is not a table of torch releases")]
    BadTable {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: Box<toml::de::Error>,
    },
}

impl UserError for FactsError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownRelease { .. } => "facts.unknown-release",
            Self::Unreadable { .. } => "facts.unreadable",
            Self::BadTable { .. } => "facts.bad-table",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownRelease { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::Unreadable { .. } => None,
            Self::BadTable { .. } => Some("docs/facts.md says what the table holds".to_owned()),
        }
    }

    fn is_usage(&self) -> bool {
        true
    }
}
