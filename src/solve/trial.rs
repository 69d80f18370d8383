//! The index as it is asked while a change is tried: the same answers, at no cost.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    index::{CoreMetadata, DistFile, IndexError, IndexId, PackageIndex, Releases},
    types::{PackageName, Sha256},
};

/// An index that downloads nothing for the sake of a question. A plan made with it has no digests
/// where the index states none: it shows that there is a plan, and cannot be installed.
pub struct TrialIndex<'i> {
    index: &'i dyn PackageIndex,
    /// Packages of which nothing is known before they are built.
    needs_build: Mutex<BTreeSet<PackageName>>,
}

impl<'i> TrialIndex<'i> {
    /// A trial of this index.
    pub fn of(index: &'i dyn PackageIndex) -> Self {
        Self {
            index,
            needs_build: Mutex::default(),
        }
    }

    /// Whether a package of the names turned out to tell what it needs only when it is built.
    pub fn met_unbuilt(&self, names: &BTreeSet<PackageName>) -> bool {
        let met = self.needs_build.lock();
        let met = met.unwrap_or_else(PoisonError::into_inner);
        !met.is_disjoint(names)
    }
}

impl PackageIndex for TrialIndex<'_> {
    fn releases(
        &self,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        self.index.releases(index, package)
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        let answer = self.index.metadata(file);
        if let (Err(IndexError::NeedsBuild { .. }), Some((name, _))) =
            (&answer, file.name_and_version())
        {
            let met = self.needs_build.lock();
            met.unwrap_or_else(PoisonError::into_inner).insert(name);
        }
        answer
    }

    fn digest(&self, file: &DistFile) -> Result<Sha256, IndexError> {
        Ok(file.sha256.unwrap_or_else(|| Sha256::of("")))
    }

    fn prefetch_releases(&self, index: &IndexId, package: &PackageName) {
        self.index.prefetch_releases(index, package);
    }

    fn prefetch_metadata(&self, file: &DistFile) {
        self.index.prefetch_metadata(file);
    }
}
