//! Where a service will listen.
//!
//! The declared port, else the next free one. A host or port that the user gives on the command
//! line wins: the service's own arguments tell which flag that is (`--port {port}` or
//! `--http.port={port}`).

use std::{
    ffi::{OsStr, OsString},
    fmt,
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use crate::{record::Service, text::replace};

/// Ports tried after the declared one, before any port will do.
const NEIGHBOURS: u16 = 200;

/// Where a service will listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address it listens on.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The declared port, when it is in use and another was taken.
    pub instead_of: Option<u16>,
}

/// The port that the user asked for is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortBusy(pub u16);

impl fmt::Display for PortBusy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} is in use by another program", self.0)
    }
}

impl std::error::Error for PortBusy {}

impl Endpoint {
    /// Chooses where to listen. `free` tells whether a port of the loopback address is free.
    ///
    /// # Errors
    /// The user asked for a port that is in use.
    pub fn choose(
        service: &Service,
        user_arguments: &[OsString],
        free: impl Fn(u16) -> bool,
    ) -> Result<Self, PortBusy> {
        let host = given(service, user_arguments, "{host}")
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string());
        let asked = given(service, user_arguments, "{port}").and_then(|port| port.parse().ok());
        if let Some(port) = asked {
            return match free(port) {
                true => Ok(Self {
                    host,
                    port,
                    instead_of: None,
                }),
                false => Err(PortBusy(port)),
            };
        }
        let wanted = service.port;
        if free(wanted) {
            return Ok(Self {
                host,
                port: wanted,
                instead_of: None,
            });
        }
        let next = (1..=NEIGHBOURS)
            .filter_map(|step| wanted.checked_add(step))
            .find(|&port| free(port))
            .or_else(any_port)
            .ok_or(PortBusy(wanted))?;
        Ok(Self {
            host,
            port: next,
            instead_of: Some(wanted),
        })
    }

    /// The address to reach it at from this machine.
    pub fn reach(&self) -> &str {
        match self.host.as_str() {
            "0.0.0.0" | "*" => "127.0.0.1",
            "::" | "[::]" => "::1",
            host => host,
        }
    }

    /// The address people open.
    pub fn url(&self, page: &str) -> String {
        let host = self.reach();
        let slash = if page.starts_with('/') { "" } else { "/" };
        match host.contains(':') && !host.starts_with('[') {
            true => format!("http://[{host}]:{}{slash}{page}", self.port),
            false => format!("http://{host}:{}{slash}{page}", self.port),
        }
    }

    /// Fills in `{host}` and `{port}`.
    pub fn fill(&self, value: &OsStr) -> OsString {
        let with_host = replace(value, "{host}", &self.host);
        replace(&with_host, "{port}", &self.port.to_string())
    }
}

/// Whether a port of the loopback address can be listened on.
pub fn is_free(port: u16) -> bool {
    // Elsewhere, binding one address succeeds although another program listens on all of them.
    let answered = !cfg!(target_os = "linux")
        && TcpStream::connect_timeout(
            &(Ipv4Addr::LOCALHOST, port).into(),
            Duration::from_millis(200),
        )
        .is_ok();
    !answered && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn any_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

/// What the user gave for a placeholder, by the flag that the service's arguments put before it.
fn given(service: &Service, user_arguments: &[OsString], placeholder: &str) -> Option<String> {
    let mut flags = Vec::new();
    for (index, argument) in service.arguments.iter().enumerate() {
        let Some(argument) = argument.to_str() else {
            continue;
        };
        if argument == placeholder {
            let before = index
                .checked_sub(1)
                .and_then(|i| service.arguments[i].to_str());
            flags.extend(before.filter(|flag| flag.starts_with('-')));
        } else if let Some(flag) = argument.strip_suffix(placeholder) {
            flags.extend(flag.strip_suffix('='));
        }
    }
    let mut found = None;
    let mut arguments = user_arguments.iter().filter_map(|a| a.to_str()).peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            break;
        }
        for flag in &flags {
            if argument == *flag {
                let value = arguments.peek().filter(|value| !value.starts_with('-'));
                found = value.map(|value| (*value).to_owned()).or(found);
            } else if let Some(value) = argument
                .strip_prefix(flag)
                .and_then(|rest| rest.strip_prefix('='))
            {
                found = Some(value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn service(arguments: &[&str]) -> Service {
        Service {
            port: 8188,
            health: "/".into(),
            page: "/".into(),
            start_seconds: 1,
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: vec![],
        }
    }

    fn choose(service: &Service, user: &[&str], busy: &[u16]) -> Result<(String, u16), PortBusy> {
        let user: Vec<OsString> = user.iter().map(OsString::from).collect();
        Endpoint::choose(service, &user, |port| !busy.contains(&port)).map(|e| (e.host, e.port))
    }

    #[test]
    fn the_next_free_port_is_taken_and_the_users_own_wins() {
        let spaced = service(&["--listen", "{host}", "--port", "{port}"]);
        let local = |port| Ok(("127.0.0.1".to_owned(), port));
        assert_eq!(choose(&spaced, &[], &[]), local(8188));
        assert_eq!(choose(&spaced, &[], &[8188, 8189]), local(8190));
        assert_eq!(choose(&spaced, &["--port", "9000"], &[]), local(9000));
        assert_eq!(choose(&spaced, &["--port=9000"], &[]), local(9000));
        assert_eq!(
            choose(&spaced, &["--port", "9000"], &[9000]),
            Err(PortBusy(9000))
        );
        assert_eq!(choose(&spaced, &["--", "--port", "9"], &[]), local(8188));
        // `--listen` alone means "everywhere" to some tools; the default is still right to try.
        assert_eq!(choose(&spaced, &["--listen", "--port", "1"], &[]), local(1));
        let joined = service(&["--http.ip={host}", "--http.port={port}"]);
        assert_eq!(
            choose(&joined, &["--http.ip=0.0.0.0", "--http.port", "7"], &[]),
            Ok(("0.0.0.0".to_owned(), 7))
        );
    }

    #[test]
    fn addresses_that_mean_everywhere_are_reached_on_loopback() {
        let endpoint = |host: &str| Endpoint {
            host: host.into(),
            port: 80,
            instead_of: None,
        };
        assert_eq!(endpoint("0.0.0.0").url("/lab"), "http://127.0.0.1:80/lab");
        assert_eq!(endpoint("::").url("lab"), "http://[::1]:80/lab");
        assert_eq!(endpoint("10.0.0.1").url("/"), "http://10.0.0.1:80/");
        assert_eq!(
            endpoint("h").fill("a{port}b{host}{port}".as_ref()),
            "a80bh80"
        );
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }
}
