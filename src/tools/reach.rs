//! Whether a host that may be out of reach answers, asked before a plan counts on it.
//!
//! A firewall that drops packets makes every request wait for its time limit. So the two hosts a
//! plan can do without — that of the standalone Python builds and that of the torch wheels — are
//! asked once, briefly, and the answer is believed for a while.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::Manager;
use crate::{
    net::{ByteRange, NetError},
    types::Sha256,
};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the outcome is believed.
const LIFETIME: Duration = Duration::from_secs(600);

/// What counts as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The very thing that was asked for.
    Found,
    /// Any word of the server.
    Any,
}

impl Manager {
    /// Whether one of these addresses answers.
    pub(super) fn answers(&self, urls: &[String], wanted: Answer) -> bool {
        if self.client().is_offline() {
            return false;
        }
        let memory = self.memory(urls);
        if !self.settings.refresh
            && let Some(known) = remembered(&memory)
        {
            return known;
        }
        let answers = self.runtime().block_on(self.any_answer(urls, wanted));
        // A memory that cannot be written costs a request next time, nothing else.
        let _ = memory.parent().map(fs::create_dir_all);
        let _ = fs::write(&memory, if answers { "yes" } else { "no" });
        answers
    }

    async fn any_answer(&self, urls: &[String], wanted: Answer) -> bool {
        for url in urls {
            let first_byte = ByteRange::Span { first: 0, last: 0 };
            let asked = self.client().get(url).range(first_byte).send();
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(_)) => return true,
                Ok(Err(NetError::Status { .. })) if wanted == Answer::Any => return true,
                _ => {}
            }
        }
        false
    }

    fn memory(&self, urls: &[String]) -> PathBuf {
        let name = Sha256::of(urls.join("\n")).to_string();
        self.home.cache().join("reachable").join(&name[..16])
    }
}

fn remembered(memory: &Path) -> Option<bool> {
    let modified = fs::metadata(memory).ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(modified).ok()?;
    (age < LIFETIME).then(|| fs::read_to_string(memory).is_ok_and(|text| text == "yes"))
}
