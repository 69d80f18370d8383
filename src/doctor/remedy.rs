//! What helps, in the commands of this system.
//!
//! The steps are data (`manifests/doctor/remedies.toml`). A remedy is looked up by name for a
//! [`System`]: inside a container or WSL the right place to act is often outside, so these are
//! asked before the distribution. Nothing here, or anywhere in aienv, runs such a command.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::{Fix, template::fill};
use crate::{host::Host, types::Os};

const DATA: &str = include_str!("../../manifests/doctor/remedies.toml");

/// A kind of system, by what its commands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ubuntu and what is made from it.
    Ubuntu,
    /// Debian.
    Debian,
    /// Fedora.
    Fedora,
    /// Red Hat Enterprise Linux and its rebuilds.
    Rhel,
    /// Arch and what is made from it.
    Arch,
    /// openSUSE and SUSE.
    Suse,
    /// Any other Linux.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    Macos,
    /// A container, of whatever distribution.
    Container,
    /// WSL, of whatever distribution.
    Wsl,
}

/// Where a remedy is to be applied: the kinds that fit, the most telling first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System(Vec<Kind>);

impl System {
    /// The system of a host.
    pub fn of(host: &Host) -> Self {
        let mut kinds = Vec::new();
        if host.surroundings.container.is_some() {
            kinds.push(Kind::Container);
        }
        if host.surroundings.wsl.is_some() {
            kinds.push(Kind::Wsl);
        }
        match host.os.family {
            Os::Windows => kinds.push(Kind::Windows),
            Os::Macos => kinds.push(Kind::Macos),
            Os::Linux => {
                kinds.extend(distribution(&host.os.id));
                kinds.push(Kind::Linux);
            }
        }
        Self(kinds)
    }

    /// A system of which only conditions are known, as the table of causes names them. Nothing
    /// known is Linux, which most machines of this kind run.
    pub(super) fn holding(holds: &dyn Fn(&str) -> bool) -> Self {
        let kinds: &[(&str, &[Kind])] = &[
            ("container", &[Kind::Container]),
            ("wsl", &[Kind::Wsl]),
            ("windows", &[Kind::Windows]),
            ("macos", &[Kind::Macos]),
            ("debian", &[Kind::Ubuntu, Kind::Debian]),
            ("fedora", &[Kind::Fedora, Kind::Rhel]),
            ("arch", &[Kind::Arch]),
            ("suse", &[Kind::Suse]),
        ];
        let mut kinds: Vec<Kind> = kinds
            .iter()
            .filter(|(condition, _)| holds(condition))
            .flat_map(|(_, kinds)| kinds.iter().copied())
            .collect();
        if !holds("windows") && !holds("macos") {
            kinds.push(Kind::Linux);
        }
        Self(kinds)
    }

    /// Whether a condition of the table of causes holds.
    pub(super) fn holds(&self, condition: &str) -> bool {
        let wanted: &[Kind] = match condition {
            "container" => &[Kind::Container],
            "wsl" => &[Kind::Wsl],
            "windows" => &[Kind::Windows],
            "macos" => &[Kind::Macos],
            "linux" => &[Kind::Linux],
            "debian" => &[Kind::Ubuntu, Kind::Debian],
            "fedora" => &[Kind::Fedora, Kind::Rhel],
            "arch" => &[Kind::Arch],
            "suse" => &[Kind::Suse],
            _ => &[],
        };
        self.0.iter().any(|kind| wanted.contains(kind))
    }
}

/// The family of a distribution by its `ID` in `os-release`.
fn distribution(id: &str) -> Option<Kind> {
    Some(match id {
        "ubuntu" | "linuxmint" | "pop" | "elementary" | "zorin" | "neon" | "tuxedo" => Kind::Ubuntu,
        "debian" | "devuan" | "kali" | "raspbian" | "mx" => Kind::Debian,
        "fedora" | "nobara" | "ultramarine" => Kind::Fedora,
        "rhel" | "rocky" | "almalinux" | "centos" | "ol" | "amzn" => Kind::Rhel,
        "arch" | "manjaro" | "endeavouros" | "cachyos" | "garuda" => Kind::Arch,
        _ if id.starts_with("opensuse") || id.starts_with("sle") => Kind::Suse,
        _ => return None,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "`schema` and `as_of` are for readers of the file")]
struct File {
    schema: u32,
    as_of: String,
    remedy: Vec<Remedy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remedy {
    name: String,
    text: String,
    #[serde(default)]
    command: BTreeMap<Kind, String>,
    #[serde(default)]
    instead: BTreeMap<Kind, String>,
    #[expect(dead_code, reason = "for readers of the file")]
    source: Vec<String>,
}

static REMEDIES: LazyLock<Vec<Remedy>> = LazyLock::new(|| {
    // The file is part of the program and a test reads it; it cannot be wrong at run time.
    let file: File =
        toml::from_str(DATA).unwrap_or_else(|error| unreachable!("remedies.toml: {error}"));
    file.remedy
});

/// A remedy for a system. `values` fill its places; a command with a place that is not known is
/// left out.
///
/// # Panics
/// When there is no remedy of this name, which is a mistake in this program.
pub fn remedy(name: &str, system: &System, values: &[(&str, &str)]) -> Fix {
    filled(name, system, &|place| {
        let known = values.iter().find(|(known, _)| *known == place);
        known.map(|(_, value)| (*value).to_owned())
    })
}

/// The same with values from anywhere.
pub(super) fn filled(name: &str, system: &System, value: &dyn Fn(&str) -> Option<String>) -> Fix {
    let remedy = REMEDIES
        .iter()
        .find(|remedy| remedy.name == name)
        .unwrap_or_else(|| unreachable!("no remedy `{name}`"));
    // Where one kind has another text, the commands of less telling kinds do not go with it.
    let mut text = &remedy.text;
    let mut command = None;
    for kind in &system.0 {
        if let Some(instead) = remedy.instead.get(kind) {
            text = instead;
            command = remedy.command.get(kind);
            break;
        }
        if let Some(found) = remedy.command.get(kind) {
            command = Some(found);
            break;
        }
    }
    Fix {
        text: fill(text, value).text,
        command: command
            .map(|command| fill(command, value))
            .filter(|command| command.is_complete)
            .map(|command| command.text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn system(kinds: &[Kind]) -> System {
        System(kinds.to_vec())
    }

    #[test]
    fn every_remedy_is_sound() {
        let legend: BTreeSet<&str> = DATA
            .lines()
            .skip_while(|line| !line.starts_with("# Sources:"))
            .skip(1)
            .take_while(|line| line.starts_with("#   "))
            .filter_map(|line| line[4..].split_whitespace().next())
            .collect();
        let mut names = BTreeSet::new();
        let file: toml::Table = toml::from_str(DATA).unwrap();
        for row in file["remedy"].as_array().unwrap() {
            for source in row["source"].as_array().unwrap() {
                assert!(legend.contains(source.as_str().unwrap()), "{source}");
            }
        }
        for remedy in REMEDIES.iter() {
            assert!(names.insert(&remedy.name), "{} twice", remedy.name);
            for text in std::iter::once(&remedy.text).chain(remedy.instead.values()) {
                assert!(!text.ends_with('.'), "{}: {text}", remedy.name);
                assert!(fill(text, &|_| None).is_complete, "{}: {text}", remedy.name);
            }
            for command in remedy.command.values() {
                assert!(!command.contains('\n'), "{}: {command}", remedy.name);
            }
        }
    }

    #[test]
    fn commands_are_those_of_the_system() {
        let ask = |kinds: &[Kind]| {
            remedy(
                "build-module",
                &system(kinds),
                &[("release", "6.8.0-85-generic")],
            )
            .command
            .unwrap()
        };
        assert!(
            ask(&[Kind::Ubuntu, Kind::Linux]).starts_with("sudo apt install linux-headers-6.8")
        );
        assert!(ask(&[Kind::Fedora, Kind::Linux]).contains("akmods"));
        assert_eq!(
            ask(&[Kind::Linux]),
            "sudo dkms autoinstall -k 6.8.0-85-generic"
        );
    }

    #[test]
    fn inside_a_container_the_place_to_act_is_outside() {
        let inside = system(&[Kind::Container, Kind::Ubuntu, Kind::Linux]);
        let fix = remedy("install-nvidia-driver", &inside, &[]);
        assert!(fix.text.contains("on the machine that runs this container"));
        assert_eq!(fix.command, None, "no apt for a driver inside a container");
        let wsl = system(&[Kind::Wsl, Kind::Ubuntu, Kind::Linux]);
        let fix = remedy("remove-driver-in-wsl", &wsl, &[]);
        assert!(fix.command.unwrap().contains("apt purge"));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let ubuntu = system(&[Kind::Ubuntu, Kind::Linux]);
        assert_eq!(remedy("install-user-space", &ubuntu, &[]).command, None);
        let fix = remedy("join-group", &ubuntu, &[("group", "render")]);
        assert_eq!(
            fix.command.as_deref(),
            Some("sudo usermod -aG render \"$USER\"")
        );
    }

    #[test]
    fn conditions_and_kinds_are_two_views_of_one_thing() {
        let known = System::holding(&|condition| matches!(condition, "debian" | "wsl"));
        assert_eq!(
            known.0,
            [Kind::Wsl, Kind::Ubuntu, Kind::Debian, Kind::Linux]
        );
        for (condition, holds) in [
            ("wsl", true),
            ("debian", true),
            ("linux", true),
            ("fedora", false),
            ("windows", false),
            ("sign:nouveau", false),
        ] {
            assert_eq!(known.holds(condition), holds, "{condition}");
        }
        let windows = System::holding(&|condition| condition == "windows");
        assert_eq!(windows.0, [Kind::Windows]);
    }

    #[test]
    fn distributions_by_family() {
        for (id, kind) in [
            ("linuxmint", Some(Kind::Ubuntu)),
            ("opensuse-tumbleweed", Some(Kind::Suse)),
            ("sles", Some(Kind::Suse)),
            ("rocky", Some(Kind::Rhel)),
            ("cachyos", Some(Kind::Arch)),
            ("void", None),
        ] {
            assert_eq!(distribution(id), kind, "{id}");
        }
    }
}
