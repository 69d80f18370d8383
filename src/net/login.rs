//! Which login goes to which host.
//!
//! A login in the URL of a setting (an index, a mirror) is for that scheme, host and port; of
//! several on one host the one with the longest common path wins (package registries keep many
//! indexes on one host, each with its own token). Otherwise netrc is asked by host name; its
//! `default` entry is not used, since it would give one password to every server of the world.

use std::sync::OnceLock;

use netrc::Netrc;
use url::{Origin, Url};

use crate::settings::{Login, Settings, SourceUrl};

pub(super) struct Logins {
    known: Vec<(Origin, String, Login)>,
    netrc_file: Option<std::path::PathBuf>,
    netrc: OnceLock<Option<Netrc>>,
}

impl Logins {
    pub(super) fn new(settings: &Settings) -> Self {
        let bases = std::iter::once(&settings.index.value)
            .chain(&settings.extra_indexes.value)
            .chain(std::iter::once(&settings.torch.value))
            .chain(&settings.pythons.value);
        let trees = settings
            .sources
            .value
            .iter()
            .filter_map(|template| {
                template
                    .fill("o/n", "0")
                    .ok()
                    .zip(template.login().cloned())
            })
            .map(|(url, login)| (url.url().origin(), String::new(), login));
        Self {
            known: bases.filter_map(entry).chain(trees).collect(),
            netrc_file: settings.netrc.clone(),
            netrc: OnceLock::new(),
        }
    }

    /// The login for a request to `url`. `downgraded` says that an https address sent us here over
    /// http: then nothing secret goes along.
    pub(super) fn find(&self, url: &Url, downgraded: bool) -> Option<Login> {
        if downgraded {
            return None;
        }
        let origin = url.origin();
        self.known
            .iter()
            .filter(|(known, _, _)| *known == origin)
            .max_by_key(|(_, path, _)| common_prefix(path, url.path()))
            .map(|(_, _, login)| login.clone())
            .or_else(|| self.of_netrc(url))
    }

    fn of_netrc(&self, url: &Url) -> Option<Login> {
        let netrc = self.netrc.get_or_init(|| {
            let file = self.netrc_file.as_ref()?;
            Netrc::from_file(file)
                .inspect_err(|error| {
                    tracing::warn!("`{}` is not used: {error}", file.display());
                })
                .ok()
        });
        let hosts = &netrc.as_ref()?.hosts;
        let found = hosts.get(url.host_str()?)?;
        Some(Login {
            user: found.login.clone(),
            password: found.password.clone(),
        })
    }
}

fn entry(url: &SourceUrl) -> Option<(Origin, String, Login)> {
    let login = url.login()?.clone();
    Some((url.url().origin(), url.url().path().to_owned(), login))
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}
