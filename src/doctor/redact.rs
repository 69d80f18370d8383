//! Taking out of a report what is nobody's business: who, where, and how to get in.
//!
//! A report is pasted in public places. Out go the user's name and home folder, the machine's name,
//! addresses (IP, MAC, mail), identifiers of single pieces of hardware, and everything that looks
//! like a key. What is left is what a diagnosis needs: versions, models, folders of the system.
//!
//! Two means are used together: what is known of this very machine (names, folders) is replaced
//! wherever it stands, and what has the form of a secret is replaced whatever it is. The forms are
//! wide rather than narrow; a version number that is lost costs less than a key that is not.

use std::{ffi::OsString, fs};

use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// Names that are not a person's, and would tear words apart.
const COMMON: &[&str] = &[
    "admin", "aienv", "cuda", "home", "lib", "linux", "local", "nvidia", "opt", "python", "root",
    "share", "torch", "user", "users", "usr", "windows",
];

/// What is known of the person and the machine.
#[derive(Clone, Debug, Default)]
pub struct Private {
    /// Home folders, longest first.
    homes: Vec<String>,
    /// Names of the user.
    users: Vec<String>,
    /// Names of the machine.
    hosts: Vec<String>,
}

impl Private {
    /// What this process and machine tell.
    pub fn of_process() -> Self {
        Self::read(&|name| std::env::var_os(name), &|path| {
            fs::read_to_string(path).ok()
        })
    }

    fn read(env: &dyn Fn(&str) -> Option<OsString>, file: &dyn Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &&str| Some(env(name)?.to_string_lossy().into_owned());
        let mut homes: Vec<String> = ["HOME", "USERPROFILE"]
            .iter()
            .filter_map(variable)
            .map(|home| home.trim_end_matches(['/', '\\']).to_owned())
            .filter(|home| home.len() > 1)
            .collect();
        homes.sort_by_key(|home| std::cmp::Reverse(home.len()));
        homes.dedup();
        let of_homes = homes
            .iter()
            .filter_map(|home| home.rsplit(['/', '\\']).next());
        let users = ["USER", "LOGNAME", "USERNAME", "SUDO_USER"]
            .iter()
            .filter_map(variable)
            .chain(of_homes.map(str::to_owned))
            .collect();
        let hosts = ["HOSTNAME", "COMPUTERNAME", "HOST"]
            .iter()
            .filter_map(variable)
            .chain(
                ["/etc/hostname", "/proc/sys/kernel/hostname"]
                    .iter()
                    .filter_map(|path| file(path)),
            )
            // The short name alone is a name, too.
            .flat_map(|name| {
                let name = name.trim().to_owned();
                let short = name.split('.').next().unwrap_or_default().to_owned();
                [name, short]
            })
            .collect();
        Self {
            homes,
            users: names(users),
            hosts: names(hosts),
        }
    }
}

/// Names worth looking for: not too short, and no word of the trade.
fn names(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| {
        name.chars().count() >= 3 && !COMMON.contains(&name.to_lowercase().as_str())
    });
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.dedup();
    names
}

/// Takes private things out of texts.
pub struct Redactor {
    rules: Vec<(Regex, &'static str)>,
}

impl Redactor {
    /// For what is known of this machine.
    pub fn new(private: &Private) -> Self {
        let mut rules = Vec::new();
        let mut add = |pattern: &str, with: &'static str| {
            // Patterns are written here, and names in them are escaped; a test makes them all.
            let built = RegexBuilder::new(pattern).size_limit(1 << 22).build();
            rules.extend(built.ok().map(|regex| (regex, with)));
        };
        // Keys first: a name inside one must not break its form.
        for (pattern, with) in SECRETS {
            add(pattern, with);
        }
        for home in &private.homes {
            add(
                &format!(r"(?i){}(?P<end>[/\\]|\b|$)", regex::escape(home)),
                "~$end",
            );
        }
        // Other people's home folders.
        add(
            r"(?P<base>(?i:/home/|/Users/|[A-Z]:\\+Users\\+))[^/\\\s:;'`]+",
            "${base}USER",
        );
        for host in &private.hosts {
            add(&word(host), "HOST");
        }
        for user in &private.users {
            add(&word(user), "USER");
        }
        for (pattern, with) in ADDRESSES {
            add(pattern, with);
        }
        Self { rules }
    }

    /// A text without private things.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (rule, with) in &self.rules {
            text = rule.replace_all(&text, *with).into_owned();
        }
        text
    }

    /// A value whose every text, names of fields included, has no private things.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.value(item)).collect())
            }
            Value::Object(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (self.text(&name), self.value(value)))
                    .collect(),
            ),
            other => other,
        }
    }
}

/// A name as a whole word; letters and digits on either side make it another word.
fn word(name: &str) -> String {
    format!(r"(?i)\b{}\b", regex::escape(name))
}

/// Forms of keys.
const SECRETS: &[(&str, &str)] = &[
    // A login in an address.
    (
        r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]+@",
        "${scheme}LOGIN@",
    ),
    // What services put in front of their keys.
    (
        r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|sk-|pk_|rk_|xox[abprs]-|npm_|pypi-|AKIA|ASIA|AIza|ya29\.|nvapi-|r8_|wandb_)[A-Za-z0-9_\-.]{8,}",
        "SECRET",
    ),
    // Signed tokens of three parts.
    (
        r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]+)?",
        "SECRET",
    ),
    (
        r"(?i)\b(?P<kind>bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}",
        "$kind SECRET",
    ),
    // A name that says it, and its value.
    (
        r#"(?i)(?P<name>[A-Z0-9_-]*(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|credential)[A-Z0-9_-]*["']?\s*[=:]\s*["']?)[^\s"',;&]+"#,
        "${name}SECRET",
    ),
    (
        r"-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|$)",
        "SECRET",
    ),
];

/// Forms of addresses, and of numbers that belong to one piece of hardware.
const ADDRESSES: &[(&str, &str)] = &[
    (
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
        "MAIL",
    ),
    (
        r"\b(?P<kind>GPU|MIG)-[0-9a-fA-F]{8}-[0-9a-fA-F-]{20,}",
        "$kind-ID",
    ),
    (
        r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",
        "ID",
    ),
    (r"\b(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\b", "MAC"),
    // Interfaces named after their MAC address.
    (r"\b(?P<kind>enx|wlx)[0-9a-f]{12}\b", "${kind}MAC"),
    (
        r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b",
        "ADDRESS",
    ),
    // Eight groups, or fewer around `::`. A PCI address has three, with a dot in the last.
    (r"(?i)\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b", "ADDRESS"),
    (
        r"(?i)(?:\b(?:[0-9a-f]{1,4}:)+|(?P<before>^|[\s\[(=,]):):(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*)?",
        "${before}ADDRESS",
    ),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn private() -> Private {
        let env = |name: &str| {
            let value = match name {
                "HOME" => "/home/ada.lovelace",
                "USER" | "LOGNAME" => "ada.lovelace",
                "HOSTNAME" => "engine.example.org",
                _ => return None,
            };
            Some(OsString::from(value))
        };
        let file = |path: &str| (path == "/etc/hostname").then(|| "engine\n".to_owned());
        Private::read(&env, &file)
    }

    fn redacted(text: &str) -> String {
        Redactor::new(&private()).text(text)
    }

    #[test]
    fn every_rule_is_made() {
        let private = private();
        assert_eq!(private.homes, ["/home/ada.lovelace"]);
        assert_eq!(private.users, ["ada.lovelace"]);
        assert_eq!(private.hosts, ["engine.example.org", "engine"]);
        let expected = SECRETS.len() + ADDRESSES.len() + 1 + 1 + 1 + 2;
        assert_eq!(Redactor::new(&private).rules.len(), expected);
    }

    #[test]
    fn names_homes_and_addresses_go() {
        for (text, expected) in [
            ("/home/ada.lovelace/.local/lib", "~/.local/lib"),
            ("/home/bob/x:/home/ada.lovelace", "/home/USER/x:~"),
            (r"C:\Users\Bob Smith", r"C:\Users\USER Smith"),
            ("/Users/bob/Library", "/Users/USER/Library"),
            ("on Engine as ada.lovelace", "on HOST as USER"),
            ("engine.example.org is up", "HOST is up"),
            ("from 192.168.1.17 and 10.0.0.1", "from ADDRESS and ADDRESS"),
            ("at fe80::1ff:fe23:4567:890a", "at ADDRESS"),
            ("2001:db8:0:0:0:0:0:1", "ADDRESS"),
            ("eth0 00:1A:2b:3c:4d:5e", "eth0 MAC"),
            ("enx001a2b3c4d5e", "enxMAC"),
            ("mail bob@example.org", "mail MAIL"),
            (
                "CUDA_VISIBLE_DEVICES=GPU-4a1b2c3d-0123-4567-89ab-0123456789ab",
                "CUDA_VISIBLE_DEVICES=GPU-ID",
            ),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn keys_go() {
        for text in [
            "hf_AbCdEfGhIjKlMnOpQr",
            "ghp_0123456789abcdefABCDEF",
            "sk-proj-abcdefgh12345678",
            "Authorization: Bearer abcdef123456",
            "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl",
            "HF_TOKEN=abcdef",
            "password: hunter22",
            "\"api_key\": \"0123456789\"",
            "https://ada:hunter22@proxy.example:3128/x",
        ] {
            let said = redacted(text);
            for secret in ["AbCdEf", "0123456789", "abcdef", "hunter22", "c2lnbmF0"] {
                assert!(!said.contains(secret), "{text} became {said}");
            }
        }
    }

    #[test]
    fn what_a_diagnosis_needs_stays() {
        for text in [
            "driver 580.95.05, kernel 6.8.0-85-generic, glibc 2.39",
            "0000:01:00.0",
            "10de:2684",
            "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05",
            "/usr/local/cuda-12.4/lib64",
            "NVIDIA GeForce RTX 4090",
            "12:34:56",
            "std::bad_alloc at torch::jit",
            "Windows 11 24H2 10.0.26100",
            "libstdc++.so.6.0.30",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn common_names_do_not_tear_words_apart() {
        let env = |name: &str| {
            matches!(name, "USER" | "HOME").then(|| match name {
                "USER" => OsString::from("root"),
                _ => OsString::from("/root"),
            })
        };
        let private = Private::read(&env, &|_| None);
        let redactor = Redactor::new(&private);
        assert_eq!(redactor.text("root of /root/.cache"), "root of ~/.cache");
    }

    #[test]
    fn values_are_redacted_throughout() {
        let value = serde_json::json!({
            "/home/ada.lovelace/x": ["ada.lovelace", 7, {"host": "engine"}], "ok": true
        });
        let said = Redactor::new(&private()).value(value);
        let expected = serde_json::json!({ "~/x": ["USER", 7, {"host": "HOST"}], "ok": true });
        assert_eq!(said, expected);
    }

    proptest! {
        #[test]
        fn nothing_private_survives(before in "\\PC{0,40}", after in "\\PC{0,40}") {
            let redactor = Redactor::new(&private());
            let said = redactor.text(&format!("{before} /home/ada.lovelace/x {after}"));
            prop_assert!(!said.to_lowercase().contains("lovelace"), "{said}");
            let said = redactor.text(&format!("{before} 192.168.7.23 {after}"));
            prop_assert!(!said.contains("192.168.7.23"), "{said}");
        }
    }
}
