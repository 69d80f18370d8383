//! Comparing two answers, and having each judged by the other resolver.
//!
//! A resolver's answer is checked by the other one: given the same requirements and the answer as
//! exact constraints, it must come to the very same packages. So no requirement is unmet, nothing
//! is missing and nothing is there that nobody asked for, by the reading of metadata, markers and
//! file names of a program that shares none of the code.

use std::collections::BTreeSet;

use aienv::types::Version;

use super::{
    Result,
    resolvers::{Answer, Resolver, Solution, pins},
    sets::Set,
};

/// A package that the two do not agree on.
#[derive(Debug)]
pub struct Difference {
    /// Name.
    pub package: String,
    /// aienv's version.
    pub ours: Option<Version>,
    /// uv's version.
    pub theirs: Option<Version>,
    /// Key of the declared reason.
    pub because: Option<String>,
}

/// What came out for one set.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Packages that differ.
    pub differences: Vec<Difference>,
    /// What must not be.
    pub wrong: Vec<String>,
    /// Worth telling beside a difference.
    pub remarks: Vec<String>,
}

impl Verdict {
    /// Whether something is neither the same nor declared.
    pub fn fails(&self) -> bool {
        !self.wrong.is_empty() || self.differences.iter().any(|d| d.because.is_none())
    }
}

/// The name under which a set declares that only one of the two finds a solution.
const SOLUTION: &str = "(solution)";

/// Compares the answers to a set.
pub fn judge(
    set: &Set,
    aienv: &dyn Resolver,
    uv: &dyn Resolver,
    ours: &Answer,
    theirs: &Answer,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    match (ours, theirs) {
        (Answer::Refused(_), Answer::Refused(_)) => {}
        (Answer::Solved(_), Answer::Refused(said)) => {
            one_sided(
                &mut verdict,
                set,
                format!("uv finds none: {}", one_line(said)),
            );
        }
        (Answer::Refused(said), Answer::Solved(_)) => {
            one_sided(
                &mut verdict,
                set,
                format!("aienv finds none: {}", one_line(said)),
            );
        }
        (Answer::Solved(ours), Answer::Solved(theirs)) => {
            verdict.differences = differences(set, ours, theirs);
            needless(&mut verdict, set, uv, ours)?;
        }
    }
    if let Some(ours) = ours.solution()
        && let Some(problem) = disagrees(set, uv, ours)?
    {
        verdict
            .wrong
            .push(format!("uv on aienv's packages: {problem}"));
    }
    if let (Some(theirs), false) = (theirs.solution(), verdict.differences.is_empty())
        && let Some(problem) = disagrees(set, aienv, theirs)?
    {
        verdict
            .remarks
            .push(format!("aienv on uv's packages: {problem}"));
    }
    Ok(verdict)
}

fn one_sided(verdict: &mut Verdict, set: &Set, told: String) {
    verdict.remarks.push(told);
    verdict.differences.push(Difference {
        package: SOLUTION.to_owned(),
        ours: None,
        theirs: None,
        because: set.declared(SOLUTION).map(|d| d.because.clone()),
    });
}

fn differences(set: &Set, ours: &Solution, theirs: &Solution) -> Vec<Difference> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| Difference {
            package: name.clone(),
            ours: ours.get(name).cloned(),
            theirs: theirs.get(name).cloned(),
            because: set.declared(name).map(|d| d.because.clone()),
        })
        .collect()
}

/// What is wrong with a solution in the eyes of the other resolver.
fn disagrees(set: &Set, other: &dyn Resolver, solution: &Solution) -> Result<Option<String>> {
    let problem = match other.resolve(set, &pins(solution))?.0 {
        Answer::Refused(said) => Some(one_line(&said)),
        Answer::Solved(again) if again == *solution => None,
        Answer::Solved(again) => {
            let names: Vec<String> = differences(set, solution, &again)
                .into_iter()
                .map(|difference| difference.package)
                .collect();
            Some(format!("it comes to others ({})", names.join(", ")))
        }
    };
    Ok(problem)
}

/// Looks for packages that could be newer with everything else as it is.
fn needless(verdict: &mut Verdict, set: &Set, uv: &dyn Resolver, ours: &Solution) -> Result<()> {
    for difference in &verdict.differences {
        let (Some(old), Some(new)) = (&difference.ours, &difference.theirs) else {
            continue;
        };
        if old >= new {
            continue;
        }
        let mut others = ours.clone();
        others.remove(&difference.package);
        let mut pins = pins(&others);
        pins.push(format!("{}>={new}", difference.package));
        if let Answer::Solved(raised) = uv.resolve(set, &pins)?.0 {
            let problem = format!(
                "{} {old} is needlessly old: {} goes with everything else as it is",
                difference.package, raised[&difference.package],
            );
            match set.declared(&difference.package) {
                Some(declared) if declared.older => verdict.remarks.push(problem),
                _ => verdict.wrong.push(problem),
            }
        }
    }
    Ok(())
}

/// What a program said, short enough for a table.
fn one_line(said: &str) -> String {
    const LONGEST: usize = 600;
    let words: Vec<&str> = said.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}
