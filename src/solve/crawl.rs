//! Runs ahead of the solver so that it seldom waits for the network.
//!
//! The solver asks one question after the other; a network answers many at once. The crawl follows
//! the newest acceptable version of everything from the requirements down, on several threads, and
//! leaves the answers in the index client's memory. It decides nothing: what it guesses wrong
//! costs a request, never a different result.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Condvar, Mutex, PoisonError},
};

use super::{
    candidates::CandidateSource,
    expand::{Dependencies, Expander, Part},
    package::Participant,
    range::VersionSet,
};
use crate::{
    index::PackageIndex,
    types::{PackageName, Requirement, Version},
};

/// Threads that wait for answers; they cost memory, not processor time.
const THREADS: usize = 24;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Participant, VersionSet)>,
    seen: HashSet<(Participant, VersionSet)>,
    working: usize,
    stopped: bool,
}

/// A crawl over the candidates of one problem.
pub struct Crawl<'a> {
    index: &'a dyn PackageIndex,
    source: &'a CandidateSource<'a>,
    expander: &'a Expander<'a>,
    queue: Mutex<Queue>,
    changed: Condvar,
    visited: Mutex<HashSet<(Participant, Version)>>,
}

impl<'a> Crawl<'a> {
    /// A crawl that has not started.
    pub fn new(
        index: &'a dyn PackageIndex,
        source: &'a CandidateSource<'a>,
        expander: &'a Expander<'a>,
    ) -> Self {
        Self {
            index,
            source,
            expander,
            queue: Mutex::default(),
            changed: Condvar::new(),
            visited: Mutex::default(),
        }
    }

    /// Crawls from `requirements` while `work` runs, and stops when it is done.
    pub fn during<T>(&self, requirements: &[Requirement], work: impl FnOnce() -> T) -> T {
        if let Ok(roots) =
            self.expander
                .expand(requirements, Part::Base, self.expander.all_pythons())
        {
            self.push(roots);
        }
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while let Some((participant, set)) = self.next() {
                        self.visit(&participant, &set);
                        self.finish();
                    }
                });
            }
            // The threads must end even if `work` panics, or the scope would wait for ever.
            let _stop = StopOnDrop(self);
            work()
        })
    }

    fn push(&self, dependencies: Dependencies) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.waiting.len();
        for (participant, set) in dependencies {
            if let Participant::Conditional(conditional) = &participant {
                for inner in self.expander.conditional(conditional) {
                    if queue.seen.insert(inner.clone()) {
                        queue.waiting.push_back(inner);
                    }
                }
            } else if participant.name().is_some()
                && queue.seen.insert((participant.clone(), set.clone()))
            {
                queue.waiting.push_back((participant, set));
            }
        }
        let new = queue.waiting.len() - before;
        drop(queue);
        // Waking all for each answer was most of the time of a plan from full caches.
        for _ in 0..new {
            self.changed.notify_one();
        }
    }

    fn next(&self) -> Option<(Participant, VersionSet)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.stopped || (queue.waiting.is_empty() && queue.working == 0) {
                return None;
            }
            if let Some(item) = queue.waiting.pop_front() {
                queue.working += 1;
                return Some(item);
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.working -= 1;
        let over = queue.working == 0 && queue.waiting.is_empty();
        drop(queue);
        if over {
            self.changed.notify_all();
        }
    }

    fn visit(&self, participant: &Participant, set: &VersionSet) {
        let Some(name) = participant.name() else {
            return;
        };
        if let Some(dependencies) = self.guess(participant, name, set) {
            self.push(dependencies);
        }
    }

    fn guess(
        &self,
        participant: &Participant,
        name: &PackageName,
        set: &VersionSet,
    ) -> Option<Dependencies> {
        let candidates = self.source.of(name).ok()?;
        let admission = &self.expander.admission;
        let version = self.source.choose(name, &candidates, set, 1, admission)?;
        let mut visited = self.visited.lock().unwrap_or_else(PoisonError::into_inner);
        if !visited.insert((participant.clone(), version.clone())) {
            return None;
        }
        drop(visited);
        let (file, usable) = self.source.file(name, &candidates, &version, 0)?;
        let metadata = self.index.metadata(file).ok()?;
        let part = match participant {
            Participant::Extra(_, extra) => Part::Extra(extra),
            _ => Part::Base,
        };
        self.expander
            .of_package(&metadata, &version, part, usable.mask & 1)
            .ok()
    }
}

struct StopOnDrop<'c, 'a>(&'c Crawl<'a>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopped = true;
        self.0.changed.notify_all();
    }
}
