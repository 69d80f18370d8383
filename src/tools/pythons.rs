//! Which interpreters a tool may get.
//!
//! With `managed` (the default) these are the standalone builds aienv can download; where their
//! host cannot be reached, the ones the store already holds, and then the machine's own. With
//! `system` it is the other way round. The two are not mixed, so that the same preference gives
//! the same Python on every machine that has a network.

use super::{Manager, reach::Answer};
use crate::{
    host::Host,
    lock::LockedPython,
    prefix::pythons::{self, ManagedPython},
    settings::PythonPreference,
    solve::PythonCandidate,
    types::{PythonVersion, VersionSpecifiers},
};

/// The oldest Python whose tools still get fixes.
const OLDEST: PythonVersion = PythonVersion::new(3, 9);

impl Manager {
    /// Every interpreter that may be chosen for a host. `here`: the host is this machine.
    pub(super) fn python_candidates(
        &self,
        host: &Host,
        here: bool,
        requires: &VersionSpecifiers,
        notes: &mut Vec<String>,
    ) -> Vec<PythonCandidate> {
        let managed: Vec<ManagedPython> = pythons::available(&host.target())
            .into_iter()
            .filter(|python| PythonVersion::of(&python.version) >= Some(OLDEST))
            .collect();
        let system = || -> Vec<PythonCandidate> {
            host.pythons
                .iter()
                .map(|found| PythonCandidate {
                    python: LockedPython::System {
                        version: found.version.clone(),
                        path: found.path.clone(),
                        sha256: None,
                    },
                    freethreaded: found.freethreaded,
                })
                .collect()
        };
        let usable = |candidates: &[PythonCandidate]| {
            candidates.iter().any(|c| requires.contains(c.version()))
        };
        if self.settings.python_preference.value == PythonPreference::System {
            let system = system();
            if usable(&system) {
                return system;
            }
            notes.push("no Python of this machine fits; a standalone one is planned".to_owned());
            return managed.iter().map(|python| self.managed(python)).collect();
        }
        if !here || self.python_host_answers(&managed) {
            let all: Vec<_> = managed.iter().map(|python| self.managed(python)).collect();
            if usable(&all) {
                return all;
            }
        }
        let held: Vec<_> = managed
            .iter()
            .filter(|python| self.store().python(&python.sha256).is_some())
            .map(|python| self.managed(python))
            .collect();
        if usable(&held) {
            return held;
        }
        notes.push(if managed.is_empty() {
            format!(
                "there is no standalone Python for {}; one of this machine is used",
                host.target()
            )
        } else {
            "standalone Python builds cannot be reached; one of this machine is used".to_owned()
        });
        system()
    }

    fn managed(&self, python: &ManagedPython) -> PythonCandidate {
        let base = self.settings.pythons.value.first();
        let base = base.map_or_else(String::new, |base| base.url().to_string());
        PythonCandidate {
            python: python.locked(&base),
            freethreaded: false,
        }
    }

    fn python_host_answers(&self, managed: &[ManagedPython]) -> bool {
        let Some(sample) = managed.last() else {
            return false;
        };
        let bases = &self.settings.pythons.value;
        let urls: Vec<String> = bases
            .iter()
            .map(|base| sample.url(base.url().as_str()))
            .collect();
        self.answers(&urls, Answer::Found)
    }
}
