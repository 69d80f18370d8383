//! `aienv list`

use std::{fmt::Write as _, process::ExitCode};

use console::{measure_text_width, pad_str, style};
use serde::Serialize;

use super::{Context, Outcome, output};
use crate::catalog::{
    Loaded, Origin,
    manifest::{AcceleratorKind, Category},
};

#[derive(clap::Args)]
pub struct Args {
    /// Only the tools of one category
    #[arg(long, short, value_name = "CATEGORY", value_parser = category)]
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
}

impl<'a> Row<'a> {
    /// The line of a tool.
    pub fn of(loaded: &'a Loaded) -> Self {
        let manifest = &loaded.manifest;
        Self {
            name: &manifest.name,
            title: &manifest.title,
            summary: &manifest.summary,
            category: manifest.category,
            tags: &manifest.tags,
            accelerators: manifest.accelerators.keys().copied().collect(),
            origin: &loaded.origin,
        }
    }
}

/// Rows as text, in columns; the summary is last, so that a narrow window breaks only there.
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
            "  {}  {}  {}  {}",
            style(pad(row.name, names)).bold(),
            pad(row.title, titles),
            style(pad(accelerators, kinds)).dim(),
            row.summary
        );
    }
    text
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let catalog = context.catalog()?;
    let rows: Vec<Row<'_>> = catalog
        .entries()
        .filter(|loaded| {
            args.category
                .is_none_or(|only| loaded.manifest.category == only)
        })
        .map(Row::of)
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
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
