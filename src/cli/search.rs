//! `aienv search`

use std::process::ExitCode;

use super::{Context, Outcome, list, output};
use crate::error::UserError;

#[derive(clap::Args)]
pub struct Args {
    /// Words to look for in names, titles, tags and summaries; all must fit
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// Print the tools as JSON, best first
    #[arg(long)]
    json: bool,
}

/// No tool fits the words.
#[derive(Debug, thiserror::Error)]
#[error("no tool fits `{words}`")]
struct NothingFound {
    words: String,
    near: Option<String>,
}

impl UserError for NothingFound {
    fn code(&self) -> &'static str {
        "search.nothing-found"
    }

    fn hint(&self) -> Option<String> {
        Some(match &self.near {
            Some(near) => format!("try `aienv search {near}`; `aienv list` shows every tool"),
            None => "try fewer or other words; `aienv list` shows every tool".to_owned(),
        })
    }
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let installed = list::marks(context);
    let catalog = context.catalog()?;
    let rows: Vec<list::Row<'_>> = catalog
        .search(&args.words)
        .into_iter()
        .map(|loaded| list::Row::of(loaded, &installed))
        .collect();
    if rows.is_empty() {
        return Err(NothingFound {
            near: catalog.suggest(&args.words),
            words: args.words.join(" "),
        }
        .into());
    }
    if args.json {
        output::json(&rows)?;
    } else {
        output::print(&list::table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
