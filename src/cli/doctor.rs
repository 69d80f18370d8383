//! `aienv doctor`

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use console::style;

use super::{Context, Failure, Outcome, output};
use crate::{
    doctor::{self, Diagnosis, Evidence, EvidenceError, Finding, Fix},
    error::UserError,
};

mod environment;
mod machine;

#[derive(clap::Args)]
pub struct Args {
    /// Find the cause in a log, a paste or a post; `-` reads standard input (may be repeated)
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// Find the cause from collected evidence in JSON; `-` reads standard input (may be repeated)
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
    /// Print the findings as JSON, most likely first
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    environment: environment::EnvironmentArgs,
    #[command(flatten)]
    machine: machine::MachineArgs,
}

/// Most bytes of one file that are read.
const LARGEST: u64 = 256 << 20;

pub fn run(args: Args, context: &Context) -> Outcome {
    if let Some(asked) = args.environment.asked() {
        let fix = args.machine.fix();
        return environment::run(&args.environment, asked, fix, args.json, context);
    }
    if args.log.is_empty() && args.evidence.is_empty() {
        return machine::run(&args.machine, args.json, context);
    }
    let evidence = gather(&args)?;
    if evidence.is_empty() {
        context
            .progress
            .note("there is nothing to read in it; give the whole output of the program");
    }
    let settings = context.settings()?;
    let torch_index = settings.torch.value.url().to_string();
    let diagnosis = doctor::diagnose(&evidence, &torch_index);
    if args.json {
        output::json(&diagnosis)?;
    } else {
        output::print(&render(&diagnosis))?;
    }
    Ok(ExitCode::from(u8::from(diagnosis.is_problem())))
}

/// Everything the options name, joined.
fn gather(args: &Args) -> Result<Evidence, Failure> {
    let mut evidence = Evidence::default();
    for path in &args.evidence {
        let bytes = read(path)?;
        let read = Evidence::from_json(&doctor::decode(&bytes));
        evidence.join(read.map_err(|error| InFile {
            path: path.clone(),
            error,
        })?);
    }
    for path in &args.log {
        let bytes = read(path)?;
        evidence.join(Evidence::from_text(&doctor::decode(&bytes)));
    }
    Ok(evidence)
}

fn read(path: &Path) -> Result<Vec<u8>, DoctorError> {
    let error = |source| DoctorError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        let input = io::stdin().lock();
        input.take(LARGEST).read_to_end(&mut bytes).map_err(error)?;
    } else {
        let file = fs_err(path).map_err(error)?;
        file.take(LARGEST).read_to_end(&mut bytes).map_err(error)?;
    }
    Ok(bytes)
}

fn fs_err(path: &Path) -> io::Result<std::fs::File> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(file)
}

/// A page: the likely cause in full, the others in a line each, what to run.
fn render(diagnosis: &Diagnosis) -> String {
    let mut page = String::new();
    let Some((first, others)) = diagnosis.findings.split_first() else {
        let _ = writeln!(
            page,
            "{}",
            style("Nothing in this points to a known cause.").bold()
        );
        ask(&mut page, "To find out", &diagnosis.ask);
        return page;
    };
    cause(&mut page, first);
    if !others.is_empty() {
        let _ = writeln!(page, "\n{}", style("It may also be").bold());
        for other in others {
            let _ = writeln!(
                page,
                "  {:>3}  {} ({})",
                percent(other.confidence),
                other.title,
                other.cause
            );
        }
    }
    ask(&mut page, "To be surer", &diagnosis.ask);
    page
}

fn cause(page: &mut String, finding: &Finding) {
    let sure = match finding.confidence {
        _ if finding.is_note() => "Note",
        c if c >= 0.8 => "Cause",
        c if c >= 0.5 => "Likely cause",
        _ => "Possible cause",
    };
    let heading = format!("{sure}: {}", finding.title);
    let _ = writeln!(page, "{}", style(heading).bold());
    let _ = writeln!(page, "{}, {}\n", finding.cause, percent(finding.confidence));
    paragraph(page, &finding.explanation);
    if !finding.evidence.is_empty() {
        let _ = writeln!(page, "\n{}", style("Because").bold());
        for reason in finding.evidence.iter().take(4) {
            item(page, "- ", reason);
        }
    }
    if !finding.fix.is_empty() {
        let _ = writeln!(page, "\n{}", style("What helps").bold());
        fixes(page, &finding.fix);
    }
}

fn ask(page: &mut String, what_for: &str, questions: &[Fix]) {
    if !questions.is_empty() {
        let _ = writeln!(
            page,
            "\n{}",
            style(format!("{what_for}, run this and add what it prints")).bold()
        );
        fixes(page, questions);
    }
}

fn fixes(page: &mut String, fixes: &[Fix]) {
    for fix in fixes {
        item(page, "- ", &fix.text);
        if let Some(command) = &fix.command {
            let _ = writeln!(page, "    {}", style(command).cyan());
        }
    }
}

fn percent(confidence: f64) -> String {
    format!("{:.0} %", confidence * 100.0)
}

/// Columns of a paragraph.
const WIDTH: usize = 88;

fn paragraph(page: &mut String, text: &str) {
    for line in wrapped(text, WIDTH) {
        let _ = writeln!(page, "{line}");
    }
}

fn item(page: &mut String, mark: &str, text: &str) {
    for (place, line) in wrapped(text, WIDTH - 4).into_iter().enumerate() {
        let lead = if place == 0 { mark } else { "  " };
        let _ = writeln!(page, "  {lead}{line}");
    }
}

/// Lines of at most so many columns, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .map(|line| console::measure_text_width(line));
        let used = line.unwrap_or(0);
        if used > 0 && used + 1 + console::measure_text_width(word) > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Why there is nothing to diagnose.
#[derive(Debug, thiserror::Error)]
enum DoctorError {
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl UserError for DoctorError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "doctor.read",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("give a file that can be read, or `-` for standard input".to_owned())
    }

    fn is_usage(&self) -> bool {
        true
    }
}

/// An evidence file that says nothing, by its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
struct InFile {
    path: PathBuf,
    #[source]
    error: EvidenceError,
}

impl UserError for InFile {
    fn code(&self) -> &'static str {
        self.error.code()
    }

    fn hint(&self) -> Option<String> {
        self.error.hint()
    }

    fn is_usage(&self) -> bool {
        self.error.is_usage()
    }
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn paragraphs_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrapped("averyveryverylongword x", 5),
            ["averyveryverylongword", "x"]
        );
    }
}
