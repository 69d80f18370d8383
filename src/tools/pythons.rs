//! Which interpreters a tool may get.
//!
//! With `managed` (the default) these are the standalone builds aienv can download; where their
//! host cannot be reached, the ones the store already holds, and then the machine's own. With
//! `system` it is the other way round. The two are not mixed, so that the same preference gives
//! the same Python on every machine that has a network.

use super::{Manager, reach::Answer};
use crate::{
    fetch::Download,
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

    /// The download of an interpreter that aienv keeps: where the lock found it, then every other
    /// host of the settings, since a plan counts on whichever of them answers.
    pub(super) fn python_download(&self, python: &LockedPython) -> Option<Download> {
        let mut download = Download::of_python(python)?;
        let LockedPython::Managed {
            version,
            build,
            file,
            sha256,
            ..
        } = python
        else {
            return Some(download);
        };
        let build = ManagedPython {
            version: version.clone(),
            build: build.clone(),
            file: file.clone(),
            sha256: *sha256,
        };
        for base in &self.settings.pythons.value {
            let url = build.url(base.url().as_str());
            if !download.urls.contains(&url) {
                download.urls.push(url);
            }
        }
        Some(download)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        home::Home,
        progress::Silent,
        settings::{Overrides, Settings},
    };

    #[test]
    fn every_host_of_the_settings_is_tried_for_an_interpreter() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let settings = Settings::isolated(&home, &Overrides::default()).unwrap();
        let manager = Manager::new(&home, &settings, Arc::new(Silent)).unwrap();
        let build = ManagedPython {
            version: "3.12.4".parse().unwrap(),
            build: "20260101".to_owned(),
            file: "cpython-3.12.4+20260101-x.tar.gz".to_owned(),
            sha256: crate::types::Sha256::of("archive"),
        };
        let locked = build.locked("http://locked.example/");
        let urls = manager.python_download(&locked).unwrap().urls;
        assert!(urls[0].starts_with("http://locked.example/20260101/"));
        assert_eq!(urls.len(), 1 + settings.pythons.value.len());
        assert!(settings.pythons.value.len() >= 2);
    }
}
