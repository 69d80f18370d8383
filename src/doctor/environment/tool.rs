//! The environment of an installed tool: what any environment is asked, and whether it still is
//! what its lock says.
//!
//! It is looked at as the tool starts: with the variables of its launch record, in which those of
//! other environments are gone. Nothing may have been added to it, since every change is another
//! lock and another prefix.

use std::path::Path;

use super::{Environment, Examined, Kind, Options, Subject, Variables, commands::repair, examine};
use crate::{
    catalog::manifest::Check,
    doctor::{Cause, Fix, machine::Verdict},
    error::UserError as _,
    host::Host,
    launch::{self, LaunchRecord},
    lock::Lock,
    prefix::{InterpreterCache, Prefix, check_runtime},
    settings::SourceUrl,
    tools::{Manager, ToolError, ToolState},
};

/// Departures that are named.
const NAMED: usize = 4;
/// The id of the checks of this file.
pub const ID: &str = "tool.lock";
/// What they look at.
pub const LOOKS_AT: &str = "a tool's environment and interpreter, against its lock";
/// Why it matters.
pub const WHY: &str = "What a lock promises holds as long as nobody else installs into the \
                       environment, removes from it, or replaces its interpreter.";

/// Looks at the environment of an installed tool.
///
/// # Errors
/// The tool is not installed, or its records cannot be read.
pub fn examine_tool(
    manager: &Manager,
    name: &str,
    host: &Host,
    torch_index: &SourceUrl,
    options: Options,
) -> Result<Examined, ToolError> {
    let state = manager.installed(name)?;
    let name = state.name.as_str();
    let lock = manager.current_lock(&state)?;
    let title = format!("{name} {}", lock.version);
    let mut own = vec![interpreter(manager, name, &lock)];
    let Some(prefix) = Prefix::open(manager.home(), &lock.prefix_name()) else {
        own.push(gone(name));
        return Ok(Examined::of(title, tagged(own)));
    };
    let records = launch::load(manager.home(), name)?;
    let record = records.iter().find(|record| record.is_default);
    let variables = variables(record.or(records.first()));
    let environment = environment(&prefix, &lock);
    let mut subject = Subject::read(
        environment,
        Some(name),
        host,
        variables,
        torch_index,
        options,
    );
    subject.imports = imports(manager, &state);
    own.push(departures(&prefix, name, &lock));
    let mut verdicts = tagged(own);
    verdicts.extend(examine(&subject).verdicts);
    Ok(Examined::of(title, verdicts))
}

fn tagged(verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let tag = |mut verdict: Verdict| {
        verdict.check = ID;
        verdict
    };
    verdicts.into_iter().map(tag).collect()
}

/// The interpreter that the lock names: still there, still the same file.
fn interpreter(manager: &Manager, name: &str, lock: &Lock) -> Verdict {
    let cache = InterpreterCache::of(manager.home());
    match check_runtime(&lock.python, manager.store(), &cache) {
        Ok(()) => Verdict::works(format!(
            "Python {} is the one of the lock",
            lock.python.version()
        )),
        Err(error) => {
            let verdict = Verdict::problem(error.to_string())
                .cause(Cause::VenvBroken)
                .because(
                    "The environment is a thin layer over that Python, and belongs to exactly that \
                     one. Repairing makes it anew for the Python that is there now.",
                )
                .fix(repair(name));
            match error.hint() {
                Some(hint) => verdict.seen(hint),
                None => verdict,
            }
        }
    }
}

fn gone(name: &str) -> Verdict {
    Verdict::problem(format!("the environment of {name} is gone"))
        .cause(Cause::EnvironmentDamaged)
        .because("Its folder was deleted, or its `pyvenv.cfg` was.")
        .fix(repair(name))
}

/// The variables that a start of the tool would give it.
fn variables(record: Option<&LaunchRecord>) -> Variables {
    match record {
        Some(record) => record
            .environment
            .apply(std::env::vars_os(), Path::exists)
            .into_iter()
            .collect(),
        None => Variables::of_process(),
    }
}

fn environment(prefix: &Prefix, lock: &Lock) -> Environment {
    let found = Environment::locate(prefix.path(), None).ok();
    Environment {
        kind: Kind::Tool,
        root: prefix.path().to_owned(),
        python: prefix.python(),
        version: Some(lock.python.version().clone()),
        os: lock.target.os,
        site_packages: vec![prefix.site_packages()],
        base: found.and_then(|found| found.base),
        sees_base: false,
        by_uv: false,
    }
}

/// The modules that the manifest says must be there.
fn imports(manager: &Manager, state: &ToolState) -> Vec<String> {
    let Ok(loaded) = manager.manifest_of(state) else {
        return Vec::new();
    };
    let mut modules = Vec::new();
    for check in &loaded.manifest.checks {
        if let Check::Import(names) = check {
            // `a.b` is imported with its parents.
            modules.extend(names.iter().cloned());
        }
    }
    modules
}

/// What was installed or removed behind the lock's back.
fn departures(prefix: &Prefix, name: &str, lock: &Lock) -> Verdict {
    let departures = prefix.departures(lock).unwrap_or_default();
    if departures.is_empty() {
        return Verdict::works(match lock.packages.len() {
            1 => "its package is that of the lock".to_owned(),
            count => format!("{count} packages are those of the lock"),
        });
    }
    let mut verdict = Verdict::problem("the packages are not those of the lock")
        .cause(Cause::EnvironmentDamaged)
        .because(
            "Something was installed into the environment, or removed from it, by another program \
             than aienv. What the lock promises does not hold any more.",
        )
        .fix(repair(name))
        .fix(Fix {
            text: "What the tool should have besides is added to its lock".to_owned(),
            command: Some(format!("aienv add {name} PACKAGE")),
        });
    for departure in departures.iter().take(NAMED) {
        verdict = verdict.seen(format!("`{}` {}", departure.path.display(), departure.how));
    }
    match departures.len().saturating_sub(NAMED) {
        0 => verdict,
        more => verdict.seen(format!("and {more} more")),
    }
}
