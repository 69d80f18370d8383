//! `aienv list`

use std::{fmt::Write as _, process::ExitCode};

use console::{measure_text_width, pad_str, style};
use serde::Serialize;

use super::{Context, Outcome, output};
use crate::{
    catalog::{
        Loaded, Origin,
        manifest::{AcceleratorKind, Category},
    },
    tools::{ToolError, ToolState},
};

#[derive(clap::Args)]
pub struct Args {
    /// Only what is installed, with version, accelerator build and generation
    #[arg(long, short)]
    installed: bool,
    /// Only the tools of one category
    #[arg(long, short, conflicts_with = "installed", value_name = "CATEGORY", value_parser = category)]
    category: Option<Category>,
    /// Print the tools as JSON
    #[arg(long)]
    json: bool,
}

fn category(text: &str) -> Result<Category, String> {
    let known = Category::ALL.map(Category::name);
    Category::ALL
        .into_iter()
        .find(|category| category.name() == text)
        .ok_or_else(|| format!("known categories: {}", known.join(", ")))
}

/// A tool in one line of a list.
#[derive(Serialize)]
pub struct Row<'a> {
    name: &'a str,
    title: &'a str,
    summary: &'a str,
    category: Category,
    tags: &'a [String],
    accelerators: Vec<AcceleratorKind>,
    origin: &'a Origin,
    /// The version that is installed.
    installed: Option<String>,
}

impl<'a> Row<'a> {
    /// The line of a tool.
    pub fn of(loaded: &'a Loaded, installed: &[ToolState]) -> Self {
        let manifest = &loaded.manifest;
        Self {
            name: &manifest.name,
            title: &manifest.title,
            summary: &manifest.summary,
            category: manifest.category,
            tags: &manifest.tags,
            accelerators: manifest.accelerators.keys().copied().collect(),
            origin: &loaded.origin,
            installed: installed
                .iter()
                .find(|state| state.name == manifest.name)
                .and_then(|state| Some(state.current()?.version.to_string())),
        }
    }
}

/// Rows as text, in columns; the summary is last, so that a narrow window breaks only there.
/// Installed tools have a mark.
pub fn table(rows: &[Row<'_>]) -> String {
    let accelerators: Vec<String> = rows
        .iter()
        .map(|row| row.accelerators.iter().map(|kind| kind.name()).collect())
        .map(|kinds: Vec<&str>| kinds.join(" "))
        .collect();
    let width = |texts: &mut dyn Iterator<Item = &str>| {
        texts.map(measure_text_width).max().unwrap_or_default()
    };
    let names = width(&mut rows.iter().map(|row| row.name));
    let titles = width(&mut rows.iter().map(|row| row.title));
    let kinds = width(&mut accelerators.iter().map(String::as_str));
    let mut text = String::new();
    for (row, accelerators) in rows.iter().zip(&accelerators) {
        let pad = |text, width| pad_str(text, width, console::Alignment::Left, None);
        let _ = writeln!(
            text,
            "{} {}  {}  {}  {}",
            style(if row.installed.is_some() { "*" } else { " " }).green(),
            style(pad(row.name, names)).bold(),
            pad(row.title, titles),
            style(pad(accelerators, kinds)).dim(),
            row.summary
        );
    }
    text
}

pub fn run(args: Args, context: &Context) -> Outcome {
    if args.installed {
        let installed = ToolState::load_all(&context.home).map_err(ToolError::from)?;
        return list_installed(&installed, args.json, context);
    }
    let installed = marks(context);
    let catalog = context.catalog()?;
    let rows: Vec<Row<'_>> = catalog
        .entries()
        .filter(|loaded| {
            args.category
                .is_none_or(|only| loaded.manifest.category == only)
        })
        .map(|loaded| Row::of(loaded, &installed))
        .collect();
    if args.json {
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    // One table, cut into its categories, so that columns stand below each other throughout.
    let lines = table(&rows);
    let mut text = String::new();
    for category in Category::ALL {
        let mut of_category = rows
            .iter()
            .zip(lines.lines())
            .filter(|(row, _)| row.category == category)
            .peekable();
        if of_category.peek().is_none() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{}", style(category).cyan());
        for (_, line) in of_category {
            text.push_str(line);
            text.push('\n');
        }
    }
    if rows.iter().any(|row| row.installed.is_some()) {
        text.push_str("\n* installed\n");
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is marked in a list of the catalogue. A damaged record is told where it matters, not here.
pub fn marks(context: &Context) -> Vec<ToolState> {
    ToolState::load_all(&context.home).unwrap_or_default()
}

/// An installed tool as JSON.
#[derive(Serialize)]
struct InstalledTool<'a> {
    name: &'a str,
    version: String,
    accelerator: String,
    generation: u32,
    /// Generations that can be gone back to.
    earlier: Vec<u32>,
    pinned: bool,
    /// The version that was asked for; upgrades keep to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_at: Option<String>,
    added: &'a [String],
    installed_at: jiff::Timestamp,
}

fn list_installed(installed: &[ToolState], json: bool, context: &Context) -> Outcome {
    let tools: Vec<InstalledTool<'_>> = installed
        .iter()
        .filter_map(|state| {
            let generation = state.current()?;
            let numbers = state.generations.iter().map(|generation| generation.number);
            Some(InstalledTool {
                name: &state.name,
                version: generation.version.to_string(),
                accelerator: generation.accelerator.to_string(),
                generation: generation.number,
                earlier: numbers
                    .filter(|number| *number < generation.number)
                    .collect(),
                pinned: state.pinned,
                kept_at: state.wishes.version.as_ref().map(ToString::to_string),
                added: &state.wishes.added,
                installed_at: generation.created,
            })
        })
        .collect();
    if json {
        return output::json(&tools);
    }
    if tools.is_empty() {
        context
            .progress
            .note("no tool is installed; `aienv list` shows what there is");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = tools
        .iter()
        .map(|tool| {
            let mut notes = Vec::new();
            if tool.pinned {
                notes.push("pinned".to_owned());
            }
            if let Some(version) = &tool.kept_at {
                notes.push(format!("kept at {version}"));
            }
            if !tool.added.is_empty() {
                notes.push(format!("with {}", tool.added.join(", ")));
            }
            vec![
                tool.name.to_owned(),
                tool.version.clone(),
                tool.accelerator.clone(),
                tool.generation.to_string(),
                notes.join(", "),
            ]
        })
        .collect();
    let headings = ["TOOL", "VERSION", "ACCELERATOR", "GENERATION", ""];
    output::print(&output::table(&headings, &rows))
}
