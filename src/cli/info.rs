//! `aienv info`

use std::{fmt::Write as _, process::ExitCode};

use console::style;
use serde::Serialize;

use super::{Context, Outcome, output};
use crate::{
    catalog::{
        Loaded, Manifest, Origin,
        manifest::{AcceleratorKind, AcceleratorNeeds, Command, Source},
    },
    tools::{Generation, ToolError, ToolState},
    types::Sha256,
};

#[derive(clap::Args)]
pub struct Args {
    /// Name of a tool, or path of a manifest
    tool: String,
    /// Print the whole manifest as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Info<'a> {
    manifest: &'a Manifest,
    origin: &'a Origin,
    sha256: Sha256,
    installed: Option<&'a Generation>,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let loaded = context.catalog_quietly()?.resolve(&args.tool)?;
    let state = ToolState::load(&context.home, &loaded.manifest.name).map_err(ToolError::from)?;
    let installed = state.as_ref().and_then(ToolState::current);
    if args.json {
        output::json(&Info {
            manifest: &loaded.manifest,
            origin: &loaded.origin,
            sha256: loaded.sha256,
            installed,
        })?;
    } else {
        output::print(&render(&loaded, installed))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `Label   value` lines; a further value of the same label leaves the label out.
struct Sheet(String);

impl Sheet {
    fn line(&mut self, label: &str, value: impl std::fmt::Display) {
        let label = style(format!("{label:<13}")).cyan();
        let _ = writeln!(self.0, "{label}{value}");
    }

    fn lines<T: std::fmt::Display>(&mut self, label: &str, values: impl IntoIterator<Item = T>) {
        let mut label = label;
        for value in values {
            self.line(label, value);
            label = "";
        }
    }
}

fn render(loaded: &Loaded, installed: Option<&Generation>) -> String {
    let manifest = &loaded.manifest;
    let mut sheet = Sheet(format!(
        "{}: {}\n\n",
        style(&manifest.title).bold(),
        manifest.summary
    ));
    sheet.line("Name", &manifest.name);
    sheet.line("Category", manifest.category);
    sheet.line("Home page", &manifest.homepage);
    sheet.line("Licence", &manifest.licence);
    if let Some(generation) = installed {
        sheet.line(
            "Installed",
            format!(
                "{} ({}, generation {})",
                generation.version, generation.accelerator, generation.number
            ),
        );
    }
    sheet.line("Source", source(manifest));
    sheet.line("Python", python(manifest));
    sheet.lines(
        "Runs on",
        manifest
            .accelerators
            .iter()
            .map(|(kind, needs)| accelerator(*kind, needs)),
    );
    sheet.lines("Commands", commands(manifest));
    if !manifest.packages.build.is_empty() {
        sheet.line(
            "Built here",
            format!(
                "{} (published as source only)",
                manifest.packages.build.join(", ")
            ),
        );
    }
    sheet.lines(
        "Programs",
        manifest
            .programs
            .iter()
            .map(|(name, program)| format!("{name}, from the package {}", program.package)),
    );
    if !manifest.data.is_empty() {
        sheet.line("Data folders", manifest.data.join(", "));
    }
    sheet.lines(
        "Models",
        manifest
            .models
            .iter()
            .map(|(kind, folder)| format!("{kind} in {folder}")),
    );
    sheet.line("Manifest", origin(&loaded.origin));
    if !manifest.notes.is_empty() {
        sheet.0.push_str("\nGood to know\n");
        for note in &manifest.notes {
            let _ = writeln!(sheet.0, "  - {note}");
        }
    }
    let _ = match installed {
        Some(_) => writeln!(sheet.0, "\nStart it with `aienv run {}`.", manifest.name),
        None => writeln!(
            sheet.0,
            "\nInstall it with `aienv install {}`.",
            reference(loaded)
        ),
    };
    sheet.0
}

fn commands(manifest: &Manifest) -> impl Iterator<Item = String> {
    let default = manifest.default_command().map(|(name, _)| name);
    let several = manifest.commands.len() > 1;
    let width = manifest.commands.keys().map(String::len).max().unwrap_or(0);
    manifest.commands.iter().map(move |(name, command)| {
        self::command(name, command, width, several && default == Some(name))
    })
}

/// What to type to mean this very manifest.
fn reference(loaded: &Loaded) -> String {
    match &loaded.origin {
        Origin::File { path } => path.display().to_string(),
        Origin::Embedded | Origin::Folder { .. } => loaded.manifest.name.clone(),
    }
}

fn source(manifest: &Manifest) -> String {
    match &manifest.source {
        Source::Index(index) => {
            let mut text = format!("package {}", index.package);
            if !index.extras.is_empty() {
                let _ = write!(text, "[{}]", index.extras.join(","));
            }
            if !index.version.is_empty() {
                let _ = write!(text, " {}", index.version);
            }
            text + " of the Python package index"
        }
        Source::Tree(tree) => format!(
            "source tree {} {} (commit {:.12})",
            tree.repository, tree.version, tree.commit
        ),
    }
}

fn python(manifest: &Manifest) -> String {
    let needs = &manifest.python;
    let mut text = if needs.requires.is_empty() {
        "any".to_owned()
    } else {
        needs.requires.to_string()
    };
    if !needs.prefer.is_empty() {
        let prefer: Vec<String> = needs.prefer.iter().map(ToString::to_string).collect();
        let _ = write!(text, ", best with {}", prefer.join(", then "));
    }
    text
}

fn accelerator(kind: AcceleratorKind, needs: &AcceleratorNeeds) -> String {
    let mut text = match kind {
        AcceleratorKind::Cpu => "cpu    any processor",
        AcceleratorKind::Cuda => "cuda   NVIDIA GPU",
        AcceleratorKind::Rocm => "rocm   AMD GPU",
        AcceleratorKind::Xpu => "xpu    Intel GPU",
        AcceleratorKind::Mps => "mps    Apple silicon",
    }
    .to_owned();
    let mut add = |what: String| {
        text.push_str(", ");
        text.push_str(&what);
    };
    if !needs.version.is_empty() {
        let toolkit = match kind {
            AcceleratorKind::Rocm => "ROCm",
            _ => "CUDA",
        };
        add(format!("{toolkit} {}", needs.version));
    }
    if let Some(capability) = &needs.min_compute_capability {
        add(format!("compute capability {capability} or higher"));
    }
    if !needs.gfx.is_empty() {
        add(needs.gfx.join(" "));
    }
    if let Some(memory) = needs.min_memory_gb {
        add(format!("{memory} GB of GPU memory or more"));
    }
    text
}

fn command(name: &str, command: &Command, width: usize, default: bool) -> String {
    let mut text = format!("{name:<width$}  {}", command.summary);
    if let Some(service) = &command.service {
        let _ = write!(text, " (serves HTTP on port {})", service.port);
    }
    if default {
        text.push_str(" (default)");
    }
    text.trim_end().to_owned()
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Embedded => "part of aienv".to_owned(),
        Origin::File { path }
        | Origin::Folder {
            path,
            overrides_embedded: false,
        } => path.display().to_string(),
        Origin::Folder {
            path,
            overrides_embedded: true,
        } => format!(
            "{}, in place of the one that is part of aienv",
            path.display()
        ),
    }
}
