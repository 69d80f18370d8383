//! The commands that change this kind of environment.

use std::path::Path;

use super::{CondaPackage, Environment, Installed, Kind};
use crate::{
    doctor::Fix,
    settings::SourceUrl,
    types::{Accelerator, Os},
};

/// Who installs into the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Installer {
    /// `python -m pip`.
    Pip,
    /// `uv pip`, where there is no pip.
    Uv,
    /// aienv itself: nothing else may change the environment.
    Aienv(String),
    /// The system's package manager, which lets no pip in.
    System,
}

/// How things are installed, removed and made anew here.
#[derive(Clone, Debug)]
pub struct Commands {
    installer: Installer,
    python: String,
    root: String,
    kind: Kind,
    by_uv: bool,
    os: Os,
    torch_index: SourceUrl,
}

impl Commands {
    /// Those of an environment; `tool` is the name of the tool it belongs to.
    pub fn of(
        environment: &Environment,
        installed: &Installed,
        tool: Option<&str>,
        torch_index: &SourceUrl,
    ) -> Self {
        Self {
            installer: match tool {
                Some(tool) => Installer::Aienv(tool.to_owned()),
                None if environment.is_externally_managed() => Installer::System,
                None if environment.by_uv || installed.get("pip").is_none() => Installer::Uv,
                None => Installer::Pip,
            },
            python: quoted(&environment.python, environment.os),
            root: quoted(&environment.root, environment.os),
            kind: environment.kind,
            by_uv: environment.by_uv,
            os: environment.os,
            torch_index: torch_index.clone(),
        }
    }

    /// Installs packages, named with their versions: `numpy<2`.
    pub fn install(&self, text: &str, packages: &[&str]) -> Fix {
        let packages = self.words(packages);
        self.run(text, &format!("install {packages}"))
    }

    /// Installs packages anew, whatever is there of them.
    pub fn reinstall(&self, text: &str, packages: &[&str]) -> Fix {
        if let Some(tool) = self.tool() {
            return repair(tool);
        }
        let packages = self.words(packages);
        self.run(text, &format!("install {} {packages}", self.force_only()))
    }

    /// Installs packages of the torch family in one build.
    pub fn install_torch(&self, text: &str, packages: &[&str], build: Accelerator) -> Fix {
        let packages = self.words(packages);
        let index = self.torch_index.below(&build.to_string());
        let force = match self.installer {
            Installer::Uv => "--reinstall",
            _ => "--force-reinstall",
        };
        self.run(
            text,
            &format!("install {force} {packages} --index-url {index}"),
        )
    }

    /// Installs a package of the torch family anew in the build it has, and nothing else.
    pub fn reinstall_torch(&self, text: &str, package: &str, build: Accelerator) -> Fix {
        if let Some(tool) = self.tool() {
            return repair(tool);
        }
        let package = self.words(&[package]);
        let index = self.torch_index.below(&build.to_string());
        self.run(
            text,
            &format!(
                "install {} {package} --index-url {index}",
                self.force_only()
            ),
        )
    }

    /// The options that install a package anew, whatever is there of it, and leave what it needs.
    fn force_only(&self) -> &'static str {
        match self.installer {
            Installer::Uv => "--reinstall --no-deps",
            _ => "--force-reinstall --no-deps",
        }
    }

    /// Removes packages, then installs others.
    pub fn replace(&self, text: &str, remove: &[&str], install: &[&str]) -> Fix {
        let (remove, install) = (self.words(remove), self.words(install));
        let (removal, installation) = match &self.installer {
            Installer::Pip => (
                format!("{} -m pip uninstall -y {remove}", self.python),
                format!("{} -m pip install {install}", self.python),
            ),
            Installer::Uv => (
                format!("uv pip uninstall --python {} {remove}", self.python),
                format!("uv pip install --python {} {install}", self.python),
            ),
            Installer::Aienv(tool) => return replan(tool),
            Installer::System => return self.run(text, ""),
        };
        let command = match install.is_empty() {
            true => removal,
            false => format!("{removal} && {installation}"),
        };
        Fix {
            text: text.to_owned(),
            command: Some(command),
        }
    }

    fn run(&self, text: &str, arguments: &str) -> Fix {
        let command = match &self.installer {
            Installer::Pip => format!("{} -m pip {arguments}", self.python),
            Installer::Uv => match arguments.split_once(' ') {
                Some((verb, rest)) => format!("uv pip {verb} --python {} {rest}", self.python),
                None => format!("uv pip {arguments} --python {}", self.python),
            },
            Installer::System => {
                return Fix {
                    text: format!(
                        "{text}. This Python belongs to the system, which lets no packages in: use \
                         a virtual environment, or the system's package manager"
                    ),
                    command: None,
                };
            }
            Installer::Aienv(tool) => return replan(tool),
        };
        Fix {
            text: text.to_owned(),
            command: Some(command),
        }
    }

    /// Makes the environment anew.
    pub fn recreate(&self) -> Fix {
        let (text, command) = match (&self.installer, self.kind) {
            (Installer::Aienv(tool), _) => return repair(tool),
            (_, Kind::Venv) if self.by_uv => (
                "Make the environment anew, then install its packages again",
                Some(format!("uv venv --clear {}", self.root)),
            ),
            (_, Kind::Venv) => {
                let python = if self.os == Os::Windows {
                    "py"
                } else {
                    "python3"
                };
                (
                    "Make the environment anew, then install its packages again",
                    Some(format!("{python} -m venv --clear {}", self.root)),
                )
            }
            (_, Kind::Conda) => (
                "Write down what the environment holds, remove it, and make it anew from that \
                 list with `conda env create -f environment.yml`.",
                Some(format!(
                    "conda env export -p {} > environment.yml",
                    self.root
                )),
            ),
            _ => ("Install this Python again", None),
        };
        Fix {
            text: text.to_owned(),
            command,
        }
    }

    /// Installs packages with conda, where the environment is conda's.
    pub fn conda_install(&self, text: &str, packages: &[&str]) -> Option<Fix> {
        (self.kind == Kind::Conda).then(|| Fix {
            text: text.to_owned(),
            command: Some(format!(
                "conda install -p {} -c conda-forge {}",
                self.root,
                self.words(packages)
            )),
        })
    }

    /// Installs a package of conda again, in the version it has.
    pub fn conda_reinstall(&self, text: &str, package: &CondaPackage) -> Option<Fix> {
        // `main` and its like are the channels conda asks anyway.
        let channel = match package.channel_name() {
            "" | "main" | "r" | "defaults" | "<unknown>" => String::new(),
            name => format!(" -c {}", self.words(&[name])),
        };
        let exact = format!("{}={}", package.name, package.version);
        (self.kind == Kind::Conda).then(|| Fix {
            text: text.to_owned(),
            command: Some(format!(
                "conda install -p {} --force-reinstall{channel} {}",
                self.root,
                self.words(&[&exact])
            )),
        })
    }

    /// The repairs that logs lead to, for this environment: they say `pip`, and mean the pip of the
    /// environment. Nothing is installed into that of a tool.
    pub fn adapted(&self, fixes: Vec<Fix>) -> Vec<Fix> {
        fixes
            .into_iter()
            .map(|fix| {
                let command = fix.command.as_deref().unwrap_or_default();
                match (command.strip_prefix("pip "), &self.installer) {
                    (Some(_), Installer::Aienv(_)) => Fix {
                        command: None,
                        ..fix
                    },
                    (Some(arguments), _) => self.run(&fix.text, arguments),
                    (None, _) => fix,
                }
            })
            .collect()
    }

    /// The base of the torch wheel indexes.
    pub fn torch_index(&self) -> &str {
        self.torch_index.url().as_str()
    }

    /// The name of the tool, where this is one.
    pub fn tool(&self) -> Option<&str> {
        match &self.installer {
            Installer::Aienv(tool) => Some(tool),
            _ => None,
        }
    }

    fn words(&self, words: &[&str]) -> String {
        let quoted: Vec<String> = words
            .iter()
            .map(|word| quoted_text(word, self.os))
            .collect();
        quoted.join(" ")
    }
}

/// A prefix is made from its lock and never changed in place: what differs from the lock is mended.
pub fn repair(tool: &str) -> Fix {
    Fix {
        text: format!("Make the environment of `{tool}` anew from its lock"),
        command: Some(format!("aienv repair {tool}")),
    }
}

/// What the lock itself holds is wrong: another one is made.
fn replan(tool: &str) -> Fix {
    Fix {
        text: format!("Choose its packages anew (`aienv rollback {tool}` goes back)"),
        command: Some(format!("aienv upgrade {tool}")),
    }
}

/// A path as it is typed in a shell of the system.
fn quoted(path: &Path, os: Os) -> String {
    quoted_text(&path.to_string_lossy(), os)
}

fn quoted_text(text: &str, os: Os) -> String {
    let is_plain = |c: char| {
        c.is_alphanumeric()
            || "_-./:=+@,".contains(c)
            || (os == Os::Windows && matches!(c, '\\' | '~'))
    };
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    match os {
        Os::Windows => format!("\"{text}\""),
        Os::Linux | Os::Macos => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;

    fn environment(kind: Kind, os: Os, python: &str) -> Environment {
        Environment {
            kind,
            root: PathBuf::from("/e/my env"),
            python: PathBuf::from(python),
            version: None,
            os,
            site_packages: Vec::new(),
            base: None,
            sees_base: false,
            by_uv: false,
        }
    }

    fn commands(environment: &Environment, tool: Option<&str>) -> Commands {
        let index = SourceUrl::parse_base("https://torch.example/whl").unwrap();
        Commands::of(environment, &Installed::default(), tool, &index)
    }

    fn command(fix: Fix) -> String {
        fix.command.unwrap()
    }

    #[test]
    fn commands_are_those_of_the_installer() {
        let uv = environment(Kind::Venv, Os::Linux, "/e/my env/bin/python");
        let commands = commands(&uv, None);
        assert_eq!(
            command(commands.install("", &["numpy<2"])),
            "uv pip install --python '/e/my env/bin/python' 'numpy<2'"
        );
        assert_eq!(
            command(commands.install_torch("", &["torch==2.9.1"], Accelerator::Cuda(12, 8))),
            "uv pip install --python '/e/my env/bin/python' --reinstall torch==2.9.1 \
             --index-url https://torch.example/whl/cu128"
        );
        let mut pip = commands;
        pip.installer = Installer::Pip;
        assert_eq!(
            command(pip.replace("", &["onnxruntime"], &["onnxruntime-gpu"])),
            "'/e/my env/bin/python' -m pip uninstall -y onnxruntime && \
             '/e/my env/bin/python' -m pip install onnxruntime-gpu"
        );
        assert_eq!(
            command(pip.recreate()),
            "python3 -m venv --clear '/e/my env'"
        );
    }

    #[test]
    fn a_tool_is_repaired_or_planned_anew_and_never_changed() {
        let prefix = environment(Kind::Tool, Os::Linux, "/h/prefixes/1/bin/python");
        let commands = commands(&prefix, Some("comfyui"));
        for fix in [
            commands.reinstall("x", &["torch"]),
            commands.reinstall_torch("x", "torch==2.9.1", Accelerator::Cpu),
            commands.recreate(),
        ] {
            assert_eq!(command(fix), "aienv repair comfyui");
        }
        for fix in [
            commands.install("x", &["numpy<2"]),
            commands.install_torch("x", &["torch"], Accelerator::Cpu),
            commands.replace("x", &["a"], &["b"]),
        ] {
            assert_eq!(command(fix), "aienv upgrade comfyui");
        }
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted_text("it's", Os::Linux), r"'it'\''s'");
        assert_eq!(
            quoted_text(r"C:\e\python.exe", Os::Windows),
            r"C:\e\python.exe"
        );
        assert_eq!(quoted_text(r"C:\my e", Os::Windows), "\"C:\\my e\"");
        assert_eq!(quoted_text("torch>=2", Os::Windows), "\"torch>=2\"");
    }
}
