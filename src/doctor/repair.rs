//! `tools.installed`: are the tools that aienv installed still whole, and do their builds still run
//! here? And what `aienv doctor --fix` does about those that are not.
//!
//! Only what lies in aienv's own folders is mended, by the same operations that a user would call:
//! an environment that is damaged is made anew from its lock (`aienv repair`), a tool whose build
//! no longer runs on this machine is planned again and gets another generation, from which
//! `aienv rollback` leads back. Everything else is left to the person: doctor shows the commands.

use std::collections::BTreeMap;

use crate::{
    doctor::machine::{Verdict, builds},
    host::Host,
    lock::Lock,
    prefix::{InterpreterCache, Prefix, check_runtime},
    tools::{InstallOptions, Installed, Manager, ToolError, ToolState, Wanted},
    types::Accelerator,
};

/// The id of the check.
pub const ID: &str = "tools.installed";
/// What it looks at.
pub const LOOKS_AT: &str = "aienv's own tools: their environments, interpreters and builds";
/// Why it matters.
pub const WHY: &str = "An interpreter of the system that was updated, a folder that was deleted, \
                       another driver or GPU: a tool that worked yesterday does not today.";

/// What is wrong with an installed tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolTrouble {
    /// The tool.
    pub tool: String,
    /// What is wrong.
    pub kind: TroubleKind,
}

/// Kinds of trouble, each with its repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The environment is not there.
    Gone,
    /// Files of the environment are gone, changed or were added.
    Damaged {
        /// How many.
        files: usize,
        /// One of them.
        example: String,
    },
    /// The interpreter is another one, or gone.
    Interpreter {
        /// What was found.
        why: String,
    },
    /// The accelerator build does not run on this machine.
    Build {
        /// The build.
        build: Accelerator,
        /// Why.
        why: String,
    },
}

/// What an examination came to.
#[derive(Debug, Default)]
pub struct Examined {
    /// What to say.
    pub verdicts: Vec<Verdict>,
    /// What can be mended.
    pub troubles: Vec<ToolTrouble>,
}

/// Examines every installed tool. With `thorough` every file is compared with its digest, which
/// takes a while for a large tool.
pub fn examine(manager: &Manager, host: &Host, thorough: bool) -> Examined {
    let mut examined = Examined::default();
    let states = match manager.all_installed() {
        Ok(states) => states,
        Err(error) => {
            examined
                .verdicts
                .push(unreadable("the record of the tools", &error));
            return examined;
        }
    };
    let mut whole: Vec<&str> = Vec::new();
    for state in &states {
        match manager.current_lock(state) {
            Err(error) => examined.verdicts.push(unreadable(&state.name, &error)),
            Ok(lock) => match trouble(manager, host, state, &lock, thorough) {
                Some(trouble) => {
                    examined.verdicts.push(verdict(&trouble));
                    examined.troubles.push(trouble);
                }
                None => whole.push(&state.name),
            },
        }
    }
    if !whole.is_empty() {
        let names = whole.join(", ");
        let is_are = if whole.len() == 1 { "is" } else { "are" };
        examined.verdicts.push(Verdict::works(format!(
            "{names} {is_are} whole and fit this machine"
        )));
    }
    for verdict in &mut examined.verdicts {
        verdict.check = ID;
    }
    examined
}

/// What is wrong with one tool, every file of it compared.
///
/// # Errors
/// The tool is not installed, or its records cannot be read.
pub fn trouble_of(
    manager: &Manager,
    host: &Host,
    tool: &str,
) -> Result<Option<ToolTrouble>, ToolError> {
    let state = manager.installed(tool)?;
    let lock = manager.current_lock(&state)?;
    Ok(trouble(manager, host, &state, &lock, true))
}

fn trouble(
    manager: &Manager,
    host: &Host,
    state: &ToolState,
    lock: &Lock,
    thorough: bool,
) -> Option<ToolTrouble> {
    let found = |kind| {
        Some(ToolTrouble {
            tool: state.name.clone(),
            kind,
        })
    };
    let torch = lock
        .packages
        .iter()
        .find(|package| package.name.as_ref() == "torch")
        .map(|package| &package.version);
    if let Some(why) = builds::unfit(host, lock.accelerator, torch) {
        return found(TroubleKind::Build {
            build: lock.accelerator,
            why,
        });
    }
    let Some(prefix) = Prefix::open(manager.home(), &lock.prefix_name()) else {
        return found(TroubleKind::Gone);
    };
    let cache = InterpreterCache::of(manager.home());
    if let Err(error) = check_runtime(&lock.python, manager.store(), &cache) {
        return found(TroubleKind::Interpreter {
            why: error.to_string(),
        });
    }
    if thorough {
        let mut damaged = prefix.damage().unwrap_or_default();
        damaged.extend(prefix.departures(lock).unwrap_or_default());
        if let Some(first) = damaged.first() {
            return found(TroubleKind::Damaged {
                files: damaged.len(),
                example: format!("`{}` {}", first.path.display(), first.how),
            });
        }
    }
    None
}

fn unreadable(what: &str, error: &ToolError) -> Verdict {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    Verdict::problem(format!("{what} cannot be read"))
        .because("aienv keeps such records in its home; something else changed this one.")
        .advise_running(
            "Install the tool anew; its data stays",
            format!(
                "aienv install {}",
                if what.contains(' ') { "TOOL" } else { what }
            ),
        )
        .seen(text)
}

/// Whether a verdict tells of this trouble.
pub fn is_about(verdict: &Verdict, trouble: &ToolTrouble) -> bool {
    verdict.check == ID && verdict.title == self::verdict(trouble).title
}

/// Says that something was mended.
pub fn mended(what: String) -> Verdict {
    let mut verdict = Verdict::works(what);
    verdict.check = ID;
    verdict
}

fn verdict(trouble: &ToolTrouble) -> Verdict {
    let tool = &trouble.tool;
    let mend = |verdict: Verdict| {
        verdict.advise_running(
            "`aienv doctor --fix` does this, or by itself:",
            format!("aienv repair {tool}"),
        )
    };
    match &trouble.kind {
        TroubleKind::Gone => mend(
            Verdict::problem(format!("the environment of {tool} is gone")).because(
                "Its folder below aienv's home is not there. It can be made anew from what the \
                 store holds, and from the network where that is not all.",
            ),
        ),
        TroubleKind::Damaged { files, example } => mend(
            Verdict::problem(format!(
                "{files} files of {tool} are not as they were installed"
            ))
            .because("Environments are never changed by aienv; something else did.")
            .seen(example.clone()),
        ),
        TroubleKind::Interpreter { why } => mend(
            Verdict::problem(format!(
                "the Python of {tool} is not the one it was made for"
            ))
            .cause(crate::doctor::Cause::VenvBroken)
            .because(
                "It uses an interpreter of the system, which was updated or removed. \
                     Compiled packages fit one interpreter.",
            )
            .seen(why.clone()),
        ),
        TroubleKind::Build { build, why } => Verdict::problem(format!(
            "{tool} is a {build} build, which does not run here"
        ))
        .because("The driver or the GPU is another one than when it was installed.")
        .advise_running(
            "`aienv doctor --fix` does this, or by itself: plan it anew for this machine \
                     (`aienv rollback` goes back)",
            format!("aienv upgrade {tool}"),
        )
        .seen(why.clone()),
    }
}

/// Mends one tool. What is returned says what was done.
///
/// # Errors
/// When planning, downloading or writing fails. The tool is then as it was.
pub fn mend(
    manager: &Manager,
    trouble: &ToolTrouble,
    options: &InstallOptions,
) -> Result<String, ToolError> {
    let tool = &trouble.tool;
    match &trouble.kind {
        TroubleKind::Gone | TroubleKind::Damaged { .. } | TroubleKind::Interpreter { .. } => {
            let installed = manager.repair(tool, options)?;
            Ok(format!(
                "{} {} is whole again",
                installed.title, installed.version
            ))
        }
        TroubleKind::Build { .. } => {
            let installed = plan_anew(manager, tool, options)?;
            let state = manager.installed(tool)?;
            let build = state.current().map(|generation| generation.accelerator);
            let build = build.map_or_else(String::new, |build| format!(" ({build})"));
            Ok(format!(
                "{} {}{build} was planned for this machine (generation {}; `aienv rollback {tool}` \
                 goes back)",
                installed.title, installed.version, installed.generation
            ))
        }
    }
}

/// The same manifest and the same wishes, on the machine as it is.
fn plan_anew(
    manager: &Manager,
    tool: &str,
    options: &InstallOptions,
) -> Result<Installed, ToolError> {
    let state = manager.installed(tool)?;
    let wanted = Wanted {
        loaded: manager.manifest_of(&state)?,
        wishes: state.wishes.clone(),
        pins: BTreeMap::new(),
    };
    let plans = manager.plan_all(&[wanted], &options.plan)?;
    let mut installed = manager.install(&plans, options)?;
    installed.pop().ok_or_else(|| ToolError::NotInstalled {
        tool: tool.to_owned(),
    })
}
