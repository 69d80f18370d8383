//! Kinds of string in a manifest, and what each must look like.
//!
//! Each check is pure and gives the end of the sentence "`key` …", so that a message reads the
//! same wherever the string stands.

use std::{path::Component, str::FromStr as _};

use pep508_rs::VersionOrUrl;

use crate::types::{
    ExtraName, PackageName, PythonVersion, Sha256, Version, VersionSpecifiers, parse_requirement,
};

use super::nearest::nearest;

/// A kind of string.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    /// One line, not empty.
    Line,
    /// Name of a tool: lower case letters, digits and dashes.
    ToolName,
    /// Name of a command or program: a file name on every platform.
    CommandName,
    /// Name of an environment variable a manifest may set.
    Variable,
    /// `http` or `https` URL.
    Url,
    /// SPDX licence expression; its shape only.
    Licence,
    /// One of the words; what they are called.
    Choice(&'static str, &'static [&'static str]),
    /// Package name (PEP 508).
    Package,
    /// Name of an extra.
    Extra,
    /// Requirement (PEP 508).
    Requirement,
    /// Version specifiers (PEP 440).
    Specifiers,
    /// Version (PEP 440).
    Version,
    /// `3.12`.
    Python,
    /// `owner/name`.
    Repository,
    /// Full commit id.
    Commit,
    /// SHA-256 digest.
    Sha256,
    /// Text with placeholders.
    Template,
    /// Text with placeholders, host and port among them.
    ServiceTemplate,
    /// Path below a folder, `/` between components.
    RelativePath,
    /// Path below a folder, one `*` allowed in its last component.
    PathPattern,
    /// Path of a URL.
    HttpPath,
    /// `7.5`.
    ComputeCapability,
    /// `gfx1100`.
    Gfx,
    /// Dotted name of a Python module.
    Module,
}

/// Placeholders that stand in every template, without braces.
pub(super) const PLACEHOLDERS: &[&str] = &["python", "bin", "prefix", "tree", "data", "models"];

/// Placeholders of a service's `args` and `env`.
pub(super) const SERVICE_PLACEHOLDERS: &[&str] = &["host", "port"];

/// Names Windows keeps for devices, whatever the extension.
const DEVICE_NAMES: &[&str] = &[
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

type Check = Result<(), String>;

fn unless(wrong: bool, message: impl FnOnce() -> String) -> Check {
    if wrong { Err(message()) } else { Ok(()) }
}

impl Text {
    /// Whether the text is of this kind; the error is the end of the sentence "`key` …".
    pub fn check(self, text: &str) -> Check {
        match self {
            Self::Line => line(text),
            Self::ToolName => tool_name(text),
            Self::CommandName => command_name(text),
            Self::Variable => variable(text),
            Self::Url => http_url(text),
            Self::Licence => licence(text),
            Self::Choice(what, words) => choice(what, words, text),
            Self::Package => parsed::<PackageName>(text, "a package name"),
            Self::Extra => parsed::<ExtraName>(text, "the name of an extra"),
            Self::Requirement => requirement(text),
            Self::Specifiers => specifiers(text),
            Self::Version => parsed::<Version>(text, "a PEP 440 version"),
            Self::Python => PythonVersion::from_str(text)
                .map(drop)
                .map_err(|_| format!("is not a Python version like `3.12`: `{text}`")),
            Self::Repository => repository(text),
            Self::Commit => unless(
                text.len() != 40 || !text.bytes().all(|b| b.is_ascii_hexdigit()),
                || format!("is not a full commit id of 40 hexadecimal digits: `{text}`"),
            ),
            Self::Sha256 => Sha256::from_str(text)
                .map(drop)
                .map_err(|_| format!("is not a SHA-256 digest of 64 hexadecimal digits: `{text}`")),
            Self::Template => template(text, false),
            Self::ServiceTemplate => template(text, true),
            Self::RelativePath => {
                unless(text.contains('*'), || format!("may not hold `*`: `{text}`"))?;
                relative_path(text)
            }
            Self::PathPattern => path_pattern(text),
            Self::HttpPath => unless(
                !text.starts_with('/') || text.chars().any(|c| c.is_whitespace() || c == '#'),
                || format!("is not a path of a URL, like `/health`: `{text}`"),
            ),
            Self::ComputeCapability => compute_capability(text),
            Self::Gfx => unless(
                !text.strip_prefix("gfx").is_some_and(|rest| {
                    (3..=4).contains(&rest.len())
                        && rest
                            .bytes()
                            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                }),
                || format!("is not an AMD target like `gfx1100`: `{text}`"),
            ),
            Self::Module => unless(!text.split('.').all(is_identifier), || {
                format!("is not the name of a Python module: `{text}`")
            }),
        }
    }
}

fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Check
where
    T::Err: std::fmt::Display,
{
    T::from_str(text)
        .map(drop)
        .map_err(|_| format!("is not {what}: `{text}`"))
}

fn line(text: &str) -> Check {
    unless(text.trim().is_empty(), || "is empty".to_owned())?;
    unless(text.chars().any(char::is_control), || {
        "must be one line of text without control characters".to_owned()
    })
}

fn tool_name(text: &str) -> Check {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    unless(text.len() > 64 || !text.split('-').all(word), || {
        format!(
            "must be lower case letters and digits, with single dashes between, at most 64 \
             characters: `{text}`"
        )
    })?;
    device_name(text)
}

fn device_name(text: &str) -> Check {
    let stem = text.split('.').next().unwrap_or(text);
    unless(
        DEVICE_NAMES.contains(&stem.to_ascii_lowercase().as_str()),
        || format!("is a name that Windows keeps for a device: `{text}`"),
    )
}

fn command_name(text: &str) -> Check {
    unless(
        text.is_empty()
            || text.len() > 64
            || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
            || text.ends_with('.')
            || !text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        || {
            format!(
                "is not a command name (letters, digits, `-`, `_` and `.`, at most 64 \
                 characters): `{text}`"
            )
        },
    )?;
    unless(text.eq_ignore_ascii_case("aienv"), || {
        "would hide aienv itself".to_owned()
    })?;
    device_name(text)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn variable(text: &str) -> Check {
    unless(!is_identifier(text), || {
        format!("is not the name of an environment variable: `{text}`")
    })?;
    // Launch sets these itself; a manifest that set them would undo the isolation.
    const OWN: &[(&str, &str)] = &[
        ("PATH", "name the package of the program in `programs`"),
        ("PYTHONPATH", "name the packages in `packages.requires`"),
        ("PYTHONHOME", "aienv sets it"),
        ("LD_LIBRARY_PATH", "add its package to `packages.requires`"),
        (
            "DYLD_LIBRARY_PATH",
            "add its package to `packages.requires`",
        ),
    ];
    match OWN.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
        Some((name, instead)) => Err(format!("may not set `{name}`; {instead}")),
        None => Ok(()),
    }
}

fn http_url(text: &str) -> Check {
    let good = url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    unless(!good, || format!("is not an http or https URL: `{text}`"))
}

fn licence(text: &str) -> Check {
    let id = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-+:".contains(&b))
    };
    let mut words = text
        .split(|c: char| c == '(' || c == ')' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .peekable();
    let mut operand = true;
    let mut good = words.peek().is_some();
    for word in words {
        let operator = matches!(word, "AND" | "OR" | "WITH");
        good &= operator != operand && (operator || id(word));
        operand = !operand;
    }
    unless(!good || operand, || {
        format!(
            "is not an SPDX expression like `Apache-2.0 OR MIT` (a licence without an \
             identifier is `LicenseRef-Name`): `{text}`"
        )
    })
}

/// Whether the word is one of the words; names the nearest.
fn choice(what: &str, words: &[&str], text: &str) -> Check {
    unless(!words.contains(&text), || {
        let said = format!("is not a known {what}: `{text}`");
        match nearest(text, words.iter().copied()) {
            Some(near) => format!("{said}; did you mean `{near}`?"),
            None => format!("{said}; known: `{}`", words.join("`, `")),
        }
    })
}

fn requirement(text: &str) -> Check {
    let parsed = parse_requirement(text)
        .map_err(|error| format!("is not a PEP 508 requirement: `{text}`: {}", error.why))?;
    let by_url = matches!(parsed.version_or_url, Some(VersionOrUrl::Url(_)));
    unless(by_url && !text.contains("#sha256="), || {
        format!(
            "names a URL that must end in `#sha256=…`, so that what is downloaded can be \
             verified: `{text}`"
        )
    })
}

fn specifiers(text: &str) -> Check {
    let error = match VersionSpecifiers::from_str(text) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let said = format!("is not a PEP 440 version specifier: `{text}`");
    Err(if Version::from_str(text).is_ok() {
        format!("{said}; did you mean `=={text}` or `>={text}`?")
    } else {
        // The first line says what is wrong; the rest draws the text again.
        let why = error.to_string();
        format!("{said}: {}", why.lines().next().unwrap_or_default())
    })
}

fn repository(text: &str) -> Check {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let good = text
        .split_once('/')
        .is_some_and(|(owner, name)| part(owner) && part(name));
    unless(!good, || {
        format!("is not a repository written `owner/name`: `{text}`")
    })
}

/// The placeholders of a template, without braces. Braces around anything but letters, `-` and
/// `_` are literal text, so that JSON can be an argument.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').filter_map(|(open, _)| {
        let rest = text.get(open + 1..)?;
        let name = rest.get(..rest.find('}')?)?;
        let word = |b: u8| b.is_ascii_alphabetic() || b == b'-' || b == b'_';
        (!name.is_empty() && name.bytes().all(word)).then_some(name)
    })
}

fn template(text: &str, service: bool) -> Check {
    unless(text.contains('\0'), || "holds a NUL character".to_owned())?;
    for name in placeholders(text) {
        let of_service = SERVICE_PLACEHOLDERS.contains(&name);
        if of_service && !service {
            return Err(format!(
                "may not use `{{{name}}}`; only `args` and `env` of a `service` may"
            ));
        }
        if of_service || PLACEHOLDERS.contains(&name) {
            continue;
        }
        let known = PLACEHOLDERS
            .iter()
            .chain(SERVICE_PLACEHOLDERS.iter().filter(|_| service));
        let said = format!("holds the unknown placeholder `{{{name}}}`");
        return Err(match nearest(name, known.clone().copied()) {
            Some(near) => format!("{said}; did you mean `{{{near}}}`?"),
            None => {
                let known: Vec<String> = known.map(|name| format!("`{{{name}}}`")).collect();
                format!("{said}; known: {}", known.join(", "))
            }
        });
    }
    Ok(())
}

fn relative_path(text: &str) -> Check {
    let wrong = |why: &str| Err(format!("{why}: `{text}`"));
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.contains(['\\', ':', '\0']) {
        return wrong("must use `/` between folders, and neither `\\` nor `:`");
    }
    if text.starts_with('/') {
        return wrong("must be relative, not start with `/`");
    }
    let plain = |component: &str| {
        let mut components = std::path::Path::new(component).components();
        matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none()
    };
    if !text.split('/').all(plain) {
        return wrong("may not hold `.`, `..` or an empty folder name");
    }
    Ok(())
}

fn path_pattern(text: &str) -> Check {
    relative_path(text)?;
    let (folder, file) = text.rsplit_once('/').unwrap_or(("", text));
    unless(
        folder.contains('*') || file.matches('*').count() > 1,
        || format!("may hold one `*`, in its last component: `{text}`"),
    )
}

fn compute_capability(text: &str) -> Check {
    let number =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let good = text
        .split_once('.')
        .is_some_and(|(major, minor)| number(major) && number(minor));
    unless(!good, || {
        format!("is not a compute capability like `7.5`: `{text}`")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn accepts(kind: Text, texts: &[&str]) {
        for text in texts {
            assert_eq!(kind.check(text), Ok(()), "{text}");
        }
    }

    fn rejects(kind: Text, texts: &[&str]) {
        for text in texts {
            assert!(kind.check(text).is_err(), "{kind:?} accepts `{text}`");
        }
    }

    #[test]
    fn names() {
        accepts(Text::ToolName, &["comfyui", "open-webui", "f5-tts"]);
        rejects(
            Text::ToolName,
            &["", "ComfyUI", "a_b", "-a", "a--b", "nul", "ä"],
        );
        accepts(Text::CommandName, &["f5-tts_infer-cli", "mlx_lm.server"]);
        rejects(
            Text::CommandName,
            &["", ".x", "a/b", "a b", "aienv", "NUL", "con.txt"],
        );
        accepts(Text::Variable, &["HF_HOME", "_x"]);
        rejects(
            Text::Variable,
            &["", "1A", "A-B", "A=B", "PATH", "PYTHONPATH"],
        );
    }

    #[test]
    fn paths() {
        accepts(Text::RelativePath, &["models", "models/loras", "a b/é"]);
        rejects(
            Text::RelativePath,
            &[
                "", "/etc", "../x", "a/../b", "a//b", "./a", "a/", "C:/x", "a\\b", "a/*",
            ],
        );
        accepts(Text::PathPattern, &["pkg/bin/ffmpeg-*", "ffmpeg"]);
        rejects(
            Text::PathPattern,
            &["pkg/*/ffmpeg", "a-*-*", "/ffmpeg", "../ffmpeg*"],
        );
    }

    #[test]
    fn facts() {
        accepts(
            Text::Licence,
            &["MIT", "Apache-2.0 OR MIT", "(A AND B) OR LicenseRef-X"],
        );
        rejects(
            Text::Licence,
            &["", "MIT OR", "OR MIT", "BSD 3 clause", "MIT, Apache"],
        );
        accepts(Text::ComputeCapability, &["7.5", "12.0"]);
        rejects(Text::ComputeCapability, &["7", "7.5a", "sm_75", "75", ".5"]);
        accepts(Text::Gfx, &["gfx1100", "gfx90a", "gfx906"]);
        rejects(Text::Gfx, &["1100", "gfx", "gfx11000", "GFX1100"]);
        accepts(Text::Commit, &["20ca544ee0436721d8eb5f544665e490609f72c8"]);
        rejects(Text::Commit, &["main", "20ca544", "v1.0"]);
        rejects(Text::Specifiers, &["2.7", "~=2", "latest"]);
        accepts(Text::Specifiers, &[">=2.7,<3", "==2.*", ""]);
    }

    #[test]
    fn requirements_by_url_carry_a_digest() {
        accepts(
            Text::Requirement,
            &["a>=1", "a @ https://files.example/a-1.whl#sha256=00"],
        );
        rejects(
            Text::Requirement,
            &[
                "a @ https://files.example/a-1.whl",
                "a @ git+https://git.example/a",
            ],
        );
    }

    #[test]
    fn templates() {
        accepts(
            Text::Template,
            &["{bin}/x", "{\"a\": 1}", "{}", "x{", "{data}/{models}"],
        );
        rejects(Text::Template, &["{port}", "{dta}", "{Python}"]);
        accepts(Text::ServiceTemplate, &["--port={port}", "{host}"]);
        assert_eq!(
            Text::Template.check("{dta}/x").unwrap_err(),
            "holds the unknown placeholder `{dta}`; did you mean `{data}`?"
        );
    }

    proptest! {
        #[test]
        fn an_accepted_path_stays_below_its_folder(text in "[a-c./\\\\:*]{0,12}") {
            if Text::RelativePath.check(&text).is_ok() {
                let path = std::path::Path::new(&text);
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            for kind in [
                Text::Line, Text::ToolName, Text::CommandName, Text::Variable, Text::Url,
                Text::Licence, Text::Choice("word", &["one"]), Text::Package, Text::Extra,
                Text::Requirement, Text::Specifiers, Text::Version, Text::Python,
                Text::Repository, Text::Commit, Text::Sha256, Text::Template,
                Text::ServiceTemplate, Text::RelativePath, Text::PathPattern, Text::HttpPath,
                Text::ComputeCapability, Text::Gfx, Text::Module,
            ] {
                let _ = kind.check(&text);
            }
        }
    }
}
