//! Planning every tool for every machine, the way `aienv plan --host` does it.

use std::sync::Arc;

use aienv::{
    home::Home,
    index::PackageIndex,
    progress::Silent,
    settings::{Overrides, Settings},
    solve::{Plan, WayOut},
    tools::{Manager, PlanOptions, ToolError, Wanted},
};
use rayon::prelude::*;
use tempfile::TempDir;

use crate::{
    hosts::Machine,
    record::WithoutTorch,
    support::{IndexServer, Tree},
    trees::trees,
};

/// What a machine gets.
pub enum Outcome {
    Plan(Box<Plan>),
    Refusal(Refusal),
}

impl Outcome {
    /// The single changes that are said to work, or to work better.
    pub fn ways(&self) -> &[WayOut] {
        match self {
            Self::Plan(plan) => &plan.ways,
            Self::Refusal(refusal) => &refusal.ways,
        }
    }
}

/// Why it gets nothing.
pub struct Refusal {
    /// The error's lines.
    pub lines: Vec<String>,
    /// The single changes that it says work.
    pub ways: Vec<WayOut>,
}

/// aienv over recorded indexes.
pub struct Fleet {
    manager: Manager,
    /// For machines that do not reach the torch indexes.
    cut_off: Manager,
    server: IndexServer,
    _home: TempDir,
}

impl Fleet {
    /// Over an index, recorded or not.
    pub fn over(index: Arc<dyn PackageIndex>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = IndexServer::start();
        let source_mirror = server.url("/archive/{repository}/{commit}.tar.gz");
        let home = Home::at(folder.path());
        let overrides = Overrides {
            source_mirror: Some(source_mirror),
            ..Overrides::default()
        };
        let settings = Settings::isolated(&home, &overrides).unwrap();
        let manager = |index: Arc<dyn PackageIndex>| {
            Manager::new(&home, &settings, Arc::new(Silent))
                .unwrap()
                .with_index(index)
        };
        let fleet = Self {
            manager: manager(Arc::clone(&index)),
            cut_off: manager(Arc::new(WithoutTorch(index))),
            server,
            _home: folder,
        };
        fleet.publish_trees();
        fleet
    }

    /// Lets the source host have the recorded trees under the commits that the manifests name.
    fn publish_trees(&self) {
        for loaded in self.manager.catalog().entries() {
            let aienv::catalog::manifest::Source::Tree(source) = &loaded.manifest.source else {
                continue;
            };
            let recorded = trees()
                .into_iter()
                .find(|tree| tree.repository == source.repository);
            let recorded = recorded.unwrap_or_else(|| {
                panic!("trees.toml has no requirements of {}", source.repository)
            });
            let mut tree = Tree::new(&source.repository, &source.version);
            tree.commit.clone_from(&source.commit);
            for requirement in &recorded.requires {
                tree = tree.requirement(requirement);
            }
            self.server.add_tree(&tree);
        }
    }

    /// Every tool of the catalogue.
    pub fn tools(&self) -> Vec<Wanted> {
        let entries = self.manager.catalog().entries();
        entries.map(|loaded| Wanted::new(loaded.clone())).collect()
    }

    /// One tool for one machine.
    pub fn plan(&self, tool: &Wanted, machine: &Machine, options: &PlanOptions) -> Outcome {
        let manager = if machine.torch_index {
            &self.manager
        } else {
            &self.cut_off
        };
        let options = PlanOptions {
            host: Some(machine.host.clone()),
            ..options.clone()
        };
        match manager.plan_all(std::slice::from_ref(tool), &options) {
            Ok(mut planned) => Outcome::Plan(Box::new(planned.remove(0).plan)),
            Err(error) => Outcome::Refusal(Refusal {
                lines: error.to_string().lines().map(str::to_owned).collect(),
                ways: match &error {
                    ToolError::Solve(error) => error.ways().to_vec(),
                    _ => Vec::new(),
                },
            }),
        }
    }

    /// Every tool for every machine, on all cores: for each tool the outcomes in the order of the
    /// machines.
    pub fn plan_all(&self, tools: &[Wanted], machines: &[Machine]) -> Vec<Vec<Outcome>> {
        let options = PlanOptions::default();
        // Trees are fetched once, not by all threads at a time.
        if let Some(machine) = machines.first() {
            for tool in tools.iter().filter(|tool| is_tree(tool)) {
                self.plan(tool, machine, &options);
            }
        }
        tools
            .par_iter()
            .map(|tool| {
                machines
                    .par_iter()
                    .map(|machine| self.plan(tool, machine, &options))
                    .collect()
            })
            .collect()
    }
}

fn is_tree(tool: &Wanted) -> bool {
    matches!(
        tool.loaded.manifest.source,
        aienv::catalog::manifest::Source::Tree(_)
    )
}
