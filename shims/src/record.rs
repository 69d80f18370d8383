//! The launch record: everything a start needs, as text that is read in microseconds.
//!
//! One fact per line, `key value…`, values escaped as in [`crate::text`], in any order between
//! the first line and the last:
//!
//! ```text
//! aienv-launch 1                      format and its version
//! tool comfyui                        the tool it belongs to
//! title ComfyUI                       the name people know
//! command comfyui                     the command it starts
//! default                             this is the command `aienv run <tool>` means
//! generation 3                        the generation of the tool it was written for
//! prefix PATH                         the environment it runs in
//! program PATH                        the program that is started
//! argument VALUE                      before the user's own; repeated
//! keep NAME FILE…                     of a path list, keep the folders that hold one of the files
//! remove NAME                         unset; `DYLD_*` means all that begin with `DYLD_`; repeated
//! set NAME VALUE                      repeated
//! set-default NAME VALUE              only if it is not set; repeated
//! prepend NAME FOLDER                 to a path list, first line first; repeated
//! folder PATH                         started there, not where the user stands
//! check PATH SIZE MTIME               the interpreter as it was: bytes, nanoseconds since 1970
//! service PORT HEALTH PAGE SECONDS    it serves HTTP; seconds until it counts as slow to start
//! service-argument VALUE              may hold {host} and {port}; repeated
//! service-set NAME VALUE              may hold {host} and {port}; repeated
//! end                                 nothing was cut off
//! ```
//!
//! Why not TOML or JSON: a parser for those is larger than the rest of the launcher, and neither
//! can hold a path that is not Unicode. Anything unknown is an error, so a record of a newer
//! aienv is never half understood by an older shim.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fmt::Write as _,
    path::PathBuf,
};

use crate::{
    environment::Environment,
    text::{escape, unescape},
};

/// Version of the text format.
pub const FORMAT: u32 = 1;

const MAGIC: &str = "aienv-launch";

/// How one command of an installed tool is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchRecord {
    /// The tool.
    pub tool: String,
    /// The tool's name as people know it.
    pub title: String,
    /// The command.
    pub command: String,
    /// `aienv run <tool>` means this command.
    pub is_default: bool,
    /// The tool's generation it was written for.
    pub generation: u64,
    /// The environment it runs in.
    pub prefix: PathBuf,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Arguments before the user's.
    pub arguments: Vec<OsString>,
    /// What changes in the environment.
    pub environment: Environment,
    /// Folder it is started in; where the user stands if absent.
    pub folder: Option<PathBuf>,
    /// The machine's own interpreter, as it was when the tool was installed. Absent for
    /// interpreters that aienv manages, which nobody else changes.
    pub check: Option<InterpreterCheck>,
    /// Present if the command serves HTTP.
    pub service: Option<Service>,
}

/// An interpreter that somebody else may update or remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterpreterCheck {
    /// The executable.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, in nanoseconds since 1970 (negative before).
    pub modified: i128,
}

/// How a command serves HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The port it is wanted on.
    pub port: u16,
    /// The path that answers once it is ready.
    pub health: String,
    /// The path people open.
    pub page: String,
    /// Seconds until it counts as slow to start.
    pub start_seconds: u64,
    /// Arguments that say where to listen, with `{host}` and `{port}`; after
    /// [`LaunchRecord::arguments`].
    pub arguments: Vec<OsString>,
    /// Environment that says where to listen, with `{host}` and `{port}`.
    pub environment: Vec<(OsString, OsString)>,
}

/// A launch record could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The line, from 1; 0 when the record as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub problem: RecordProblem,
}

/// What is wrong with a launch record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordProblem {
    /// It does not begin like a launch record.
    NotARecord,
    /// It was written in another version of the format.
    Version(String),
    /// It does not end with `end`.
    CutOff,
    /// Something follows `end`.
    AfterEnd,
    /// This key is not known.
    UnknownKey(String),
    /// This key stands there twice.
    Twice(&'static str),
    /// This key is missing.
    Missing(&'static str),
    /// The key has too few or too many values, or one that cannot be read.
    Value(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.problem {
            RecordProblem::NotARecord => f.write_str("this is not a launch record"),
            RecordProblem::Version(version) => write!(
                f,
                "the record has format {version:?}, this aienv reads format {FORMAT}"
            ),
            RecordProblem::CutOff => f.write_str("the record is cut off"),
            RecordProblem::AfterEnd => f.write_str("something follows `end`"),
            RecordProblem::UnknownKey(key) => write!(f, "unknown key {key:?}"),
            RecordProblem::Twice(key) => write!(f, "`{key}` stands there twice"),
            RecordProblem::Missing(key) => write!(f, "`{key}` is missing"),
            RecordProblem::Value(key) => write!(f, "the value of `{key}` cannot be read"),
        }
    }
}

impl std::error::Error for RecordError {}

impl LaunchRecord {
    /// The record as text.
    pub fn to_text(&self) -> String {
        let mut out = Writer(format!("{MAGIC} {FORMAT}\n"));
        out.line("tool", &[self.tool.as_ref()]);
        out.line("title", &[self.title.as_ref()]);
        out.line("command", &[self.command.as_ref()]);
        if self.is_default {
            out.line("default", &[]);
        }
        out.line("generation", &[self.generation.to_string().as_ref()]);
        out.line("prefix", &[self.prefix.as_os_str()]);
        out.line("program", &[self.program.as_os_str()]);
        for argument in &self.arguments {
            out.line("argument", &[argument]);
        }
        let environment = &self.environment;
        for (name, files) in &environment.keep {
            let values: Vec<&OsStr> = std::iter::once(name)
                .chain(files)
                .map(OsString::as_os_str)
                .collect();
            out.line("keep", &values);
        }
        for name in &environment.remove {
            out.line("remove", &[name]);
        }
        out.pairs("set", &environment.set);
        out.pairs("set-default", &environment.defaults);
        out.pairs("prepend", &environment.prepend);
        if let Some(folder) = &self.folder {
            out.line("folder", &[folder.as_os_str()]);
        }
        if let Some(check) = &self.check {
            out.line(
                "check",
                &[
                    check.path.as_os_str(),
                    check.size.to_string().as_ref(),
                    check.modified.to_string().as_ref(),
                ],
            );
        }
        if let Some(service) = &self.service {
            out.line(
                "service",
                &[
                    service.port.to_string().as_ref(),
                    service.health.as_ref(),
                    service.page.as_ref(),
                    service.start_seconds.to_string().as_ref(),
                ],
            );
            for argument in &service.arguments {
                out.line("service-argument", &[argument]);
            }
            out.pairs("service-set", &service.environment);
        }
        out.line("end", &[]);
        out.0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Anything that [`LaunchRecord::to_text`] would not have written.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let whole = |problem| RecordError { line: 0, problem };
        let body = text
            .strip_suffix("\nend\n")
            .ok_or_else(|| match text.starts_with(MAGIC) {
                true => whole(RecordProblem::CutOff),
                false => whole(RecordProblem::NotARecord),
            })?;
        let mut lines = body.split('\n');
        match lines.next().and_then(|first| first.split_once(' ')) {
            Some((MAGIC, version)) if version == FORMAT.to_string() => {}
            Some((MAGIC, version)) => {
                return Err(whole(RecordProblem::Version(version.to_owned())));
            }
            _ => return Err(whole(RecordProblem::NotARecord)),
        }
        let mut reader = Reader::default();
        for (index, line) in lines.enumerate() {
            reader.line(line).map_err(|problem| RecordError {
                line: index + 2,
                problem,
            })?;
        }
        reader.finish().map_err(whole)
    }
}

struct Writer(String);

impl Writer {
    fn line(&mut self, key: &str, values: &[&OsStr]) {
        self.0.push_str(key);
        for value in values {
            self.0.push(' ');
            escape(&mut self.0, value);
        }
        let _ = self.0.write_char('\n');
    }

    fn pairs(&mut self, key: &str, pairs: &[(OsString, OsString)]) {
        for (name, value) in pairs {
            self.line(key, &[name, value]);
        }
    }
}

/// What was read so far; keys that must be there are optional until the end.
#[derive(Default)]
struct Reader {
    record: LaunchRecord,
    seen: Vec<&'static str>,
    service: Option<Service>,
    service_arguments: Vec<OsString>,
    service_environment: Vec<(OsString, OsString)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), RecordProblem> {
        let (key, rest) = match line.split_once(' ') {
            Some((key, rest)) => (key, Some(rest)),
            None => (line, None),
        };
        let bad = || RecordProblem::Value(key.to_owned());
        let mut values = Vec::new();
        for value in rest.into_iter().flat_map(|rest| rest.split(' ')) {
            values.push(unescape(value).ok_or_else(bad)?);
        }
        let record = &mut self.record;
        match key {
            "tool" => record.tool = once(&mut self.seen, "tool", word(values))?,
            "title" => record.title = once(&mut self.seen, "title", word(values))?,
            "command" => record.command = once(&mut self.seen, "command", word(values))?,
            "default" => {
                let none = values.is_empty().then_some(true);
                record.is_default = once(&mut self.seen, "default", none)?;
            }
            "generation" => {
                record.generation = once(&mut self.seen, "generation", number(values))?;
            }
            "prefix" => record.prefix = once(&mut self.seen, "prefix", one(values))?.into(),
            "program" => record.program = once(&mut self.seen, "program", one(values))?.into(),
            "argument" => record.arguments.push(one(values).ok_or_else(bad)?),
            "keep" => {
                let mut values = values.into_iter();
                let name = values.next().filter(is_name).ok_or_else(bad)?;
                record.environment.keep.push((name, values.collect()));
            }
            "remove" => {
                let name = one(values).filter(is_name).ok_or_else(bad)?;
                record.environment.remove.push(name);
            }
            "set" => record.environment.set.push(pair(values).ok_or_else(bad)?),
            "set-default" => {
                let pair = pair(values).ok_or_else(bad)?;
                record.environment.defaults.push(pair);
            }
            "prepend" => {
                let pair = pair(values).ok_or_else(bad)?;
                record.environment.prepend.push(pair);
            }
            "folder" => {
                record.folder = Some(once(&mut self.seen, "folder", one(values))?.into());
            }
            "check" => record.check = Some(once(&mut self.seen, "check", check(values))?),
            "service" => self.service = Some(once(&mut self.seen, "service", service(values))?),
            "service-argument" => self.service_arguments.push(one(values).ok_or_else(bad)?),
            "service-set" => self.service_environment.push(pair(values).ok_or_else(bad)?),
            "end" => return Err(RecordProblem::AfterEnd),
            _ => return Err(RecordProblem::UnknownKey(key.to_owned())),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<LaunchRecord, RecordProblem> {
        for key in [
            "tool",
            "title",
            "command",
            "generation",
            "prefix",
            "program",
        ] {
            if !self.seen.contains(&key) {
                return Err(RecordProblem::Missing(key));
            }
        }
        match self.service {
            Some(mut service) => {
                service.arguments = self.service_arguments;
                service.environment = self.service_environment;
                self.record.service = Some(service);
            }
            None if self.service_arguments.is_empty() && self.service_environment.is_empty() => {}
            None => return Err(RecordProblem::Missing("service")),
        }
        Ok(self.record)
    }
}

fn once<T>(
    seen: &mut Vec<&'static str>,
    key: &'static str,
    value: Option<T>,
) -> Result<T, RecordProblem> {
    if seen.contains(&key) {
        return Err(RecordProblem::Twice(key));
    }
    seen.push(key);
    value.ok_or_else(|| RecordProblem::Value(key.to_owned()))
}

fn one(values: Vec<OsString>) -> Option<OsString> {
    let [value] = <[OsString; 1]>::try_from(values).ok()?;
    Some(value)
}

fn word(values: Vec<OsString>) -> Option<String> {
    one(values)?.into_string().ok()
}

fn number<T: std::str::FromStr>(values: Vec<OsString>) -> Option<T> {
    word(values)?.parse().ok()
}

fn is_name(name: &OsString) -> bool {
    !name.is_empty() && !name.as_encoded_bytes().contains(&b'=')
}

fn pair(values: Vec<OsString>) -> Option<(OsString, OsString)> {
    let [name, value] = <[OsString; 2]>::try_from(values).ok()?;
    is_name(&name).then_some((name, value))
}

fn check(values: Vec<OsString>) -> Option<InterpreterCheck> {
    let [path, size, modified] = <[OsString; 3]>::try_from(values).ok()?;
    Some(InterpreterCheck {
        path: path.into(),
        size: size.to_str()?.parse().ok()?,
        modified: modified.to_str()?.parse().ok()?,
    })
}

fn service(values: Vec<OsString>) -> Option<Service> {
    let [port, health, page, seconds] = <[OsString; 4]>::try_from(values).ok()?;
    Some(Service {
        port: port.to_str()?.parse().ok()?,
        health: health.into_string().ok()?,
        page: page.into_string().ok()?,
        start_seconds: seconds.to_str()?.parse().ok()?,
        arguments: Vec::new(),
        environment: Vec::new(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn value() -> impl Strategy<Value = OsString> {
        #[cfg(unix)]
        return vec(1_u8.., 0..12).prop_map(|bytes| crate::text::from_bytes(bytes).unwrap());
        #[cfg(not(unix))]
        return "[^\0]{0,12}".prop_map(OsString::from);
    }

    fn name() -> impl Strategy<Value = OsString> {
        "[A-Za-z_é(][A-Za-z0-9_ *]{0,8}".prop_map(OsString::from)
    }

    fn pairs() -> impl Strategy<Value = Vec<(OsString, OsString)>> {
        vec((name(), value()), 0..4)
    }

    prop_compose! {
        fn environment()(
            keep in vec((name(), vec(value(), 0..3)), 0..2),
            remove in vec(name(), 0..4),
            set in pairs(),
            defaults in pairs(),
            prepend in pairs(),
        ) -> Environment {
            Environment { keep, remove, set, defaults, prepend }
        }
    }

    prop_compose! {
        fn service()(
            port: u16,
            health in "[^\0]{0,9}",
            page in "[^\0]{0,9}",
            start_seconds: u64,
            arguments in vec(value(), 0..4),
            environment in pairs(),
        ) -> Service {
            Service { port, health, page, start_seconds, arguments, environment }
        }
    }

    prop_compose! {
        fn record()(
            words in ["[^\0]{0,9}", "[^\0]{0,9}", "[^\0]{0,9}"],
            is_default: bool,
            generation: u64,
            prefix in value(),
            program in value(),
            arguments in vec(value(), 0..5),
            environment in environment(),
            folder in option::of(value()),
            check in option::of((value(), any::<u64>(), any::<i128>())),
            service in option::of(service()),
        ) -> LaunchRecord {
            let [tool, title, command] = words;
            LaunchRecord {
                tool, title, command, is_default, generation,
                prefix: prefix.into(),
                program: program.into(),
                arguments,
                environment,
                folder: folder.map(PathBuf::from),
                check: check.map(|(path, size, modified)| InterpreterCheck {
                    path: path.into(), size, modified,
                }),
                service,
            }
        }
    }

    proptest! {
        #[test]
        fn any_record_round_trips(record in record()) {
            prop_assert_eq!(LaunchRecord::parse(&record.to_text()), Ok(record));
        }

        #[test]
        fn every_truncation_is_noticed(record in record(), at: prop::sample::Index) {
            let text = record.to_text();
            let cut = &text[..at.index(text.len())];
            prop_assert!(LaunchRecord::parse(cut).is_err());
        }

        #[test]
        fn foreign_text_never_panics(text in "\\PC*", lines in vec("[a-z-]{1,9}( [!-~]{0,6}){0,3}", 0..9)) {
            let _ = LaunchRecord::parse(&text);
            let _ = LaunchRecord::parse(&format!("{MAGIC} {FORMAT}\n{}\nend\n", lines.join("\n")));
        }
    }

    fn problem(lines: &str) -> (usize, RecordProblem) {
        let error = LaunchRecord::parse(&format!("{MAGIC} {FORMAT}\n{lines}end\n")).unwrap_err();
        (error.line, error.problem)
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        use RecordProblem::*;
        assert_eq!(problem("tool a\ntool b\n"), (3, Twice("tool")));
        assert_eq!(problem("colour red\n"), (2, UnknownKey("colour".into())));
        assert_eq!(problem("argument\n"), (2, Value("argument".into())));
        assert_eq!(problem("argument a b\n"), (2, Value("argument".into())));
        assert_eq!(problem("argument %0\n"), (2, Value("argument".into())));
        assert_eq!(problem("argument %00\n"), (2, Value("argument".into())));
        assert_eq!(problem("set A=B 1\n"), (2, Value("set".into())));
        assert_eq!(problem("generation -1\n"), (2, Value("generation".into())));
        assert_eq!(problem("end\ntool a\n"), (2, AfterEnd));
        assert_eq!(problem("tool a\n"), (0, Missing("title")));
        let newer = LaunchRecord::parse("aienv-launch 9\nend\n").unwrap_err();
        assert_eq!(newer.problem, Version("9".into()));
        let other = LaunchRecord::parse("#!/bin/sh\n").unwrap_err();
        assert_eq!(other.problem, NotARecord);
    }
}
