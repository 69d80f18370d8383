//! Launch records from a manifest and the place where the tool was installed.
//!
//! Placeholders are filled in here, once; only `{host}` and `{port}` of services stay for the
//! start. `{name}` with an unknown name of lower-case letters is an error, other braces are text
//! (arguments may be JSON).

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use aienv_shim::{InterpreterCheck, LaunchRecord};

use super::{LaunchError, rules};
use crate::{
    catalog::manifest::{AcceleratorKind, AcceleratorNeeds, Command, Manifest, Service},
    types::{Accelerator, Os},
};

/// Where a tool was installed.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// The environment: `prefixes/<hash>`.
    pub prefix: &'a Path,
    /// Its interpreter.
    pub python: &'a Path,
    /// Its folder of scripts.
    pub bin: &'a Path,
    /// Its `site-packages`.
    pub site_packages: &'a Path,
    /// The source tree, for tools that are one.
    pub tree: Option<&'a Path>,
    /// The tool's mutable folder.
    pub data: &'a Path,
    /// The shared model folder.
    pub models: &'a Path,
    /// The accelerator build that was installed.
    pub accelerator: Accelerator,
    /// Variables that this machine's GPUs need, unless the user has set them.
    pub environment: &'a BTreeMap<String, String>,
    /// The generation this is.
    pub generation: u64,
    /// The machine's own interpreter that the prefix builds on, unless aienv manages it.
    pub system_python: Option<&'a Path>,
    /// The operating system the records are for.
    pub os: Os,
}

/// The launch records of all commands of a tool.
///
/// # Errors
/// A placeholder has no value, a command is malformed, or the system's interpreter is gone.
pub fn build(manifest: &Manifest, place: &Placement<'_>) -> Result<Vec<LaunchRecord>, LaunchError> {
    let check = place
        .system_python
        .map(|path| InterpreterCheck::of(path).map_err(LaunchError::io("look at", path)))
        .transpose()?;
    let default = manifest.default_command().map(|(name, _)| name);
    manifest
        .commands
        .iter()
        .map(|(name, command)| {
            let expand = Expand {
                command: name,
                place,
            };
            let mut record = expand.record(manifest, command)?;
            record.is_default = default == Some(name.as_str());
            record.check.clone_from(&check);
            // What cannot be read back must not be written.
            match LaunchRecord::parse(&record.to_text()) {
                Ok(_) => Ok(record),
                Err(source) => Err(LaunchError::Unwritable {
                    command: name.clone(),
                    source,
                }),
            }
        })
        .collect()
}

struct Expand<'a> {
    command: &'a str,
    place: &'a Placement<'a>,
}

impl Expand<'_> {
    fn record(&self, manifest: &Manifest, command: &Command) -> Result<LaunchRecord, LaunchError> {
        let place = self.place;
        if !is_command_name(self.command) {
            return Err(self.bad(manifest, "has a name that cannot be the name of a program"));
        }
        let none = AcceleratorNeeds::default();
        let accelerator = manifest
            .accelerators
            .get(&kind(place.accelerator))
            .unwrap_or(&none);
        let mut words = command.run.iter();
        let program = words
            .next()
            .ok_or_else(|| self.bad(manifest, "names no program to run"))?;
        let mut arguments = self.texts(words)?;
        if command.accelerator_args {
            arguments.extend(self.texts(&accelerator.args)?);
        }
        let libraries = rules::library_folders(place.site_packages, place.accelerator, place.os);
        let mut environment = rules::base(&libraries, place.bin, place.os);
        environment
            .set
            .extend(self.variables([&manifest.env, &accelerator.env, &command.env])?);
        environment
            .set
            .push(("AIENV_TOOL".into(), manifest.name.clone().into()));
        environment
            .set
            .push(("AIENV_DATA".into(), place.data.into()));
        environment
            .defaults
            .extend(self.variables([&manifest.env_default])?);
        let of_gpus = place.environment.iter();
        environment
            .defaults
            .extend(of_gpus.map(|(name, value)| (name.into(), value.into())));
        if command.service.is_some() {
            // Output goes through a pipe to the log; it should arrive when it is written.
            environment
                .defaults
                .push(("PYTHONUNBUFFERED".into(), "1".into()));
        }
        let folder = match command.cwd.as_str() {
            "" => None,
            folder => Some(self.text(folder)?.into()),
        };
        Ok(LaunchRecord {
            tool: manifest.name.clone(),
            title: manifest.title.clone(),
            command: self.command.to_owned(),
            is_default: false,
            generation: place.generation,
            prefix: place.prefix.to_owned(),
            program: self.program(program)?,
            arguments,
            environment,
            folder,
            check: None,
            service: command
                .service
                .as_ref()
                .map(|service| self.service(service))
                .transpose()?,
        })
    }

    fn bad(&self, manifest: &Manifest, why: &'static str) -> LaunchError {
        LaunchError::BadCommand {
            tool: manifest.name.clone(),
            command: self.command.to_owned(),
            why,
        }
    }

    /// A bare name is a script of the environment. Programs bear an ending on Windows, which
    /// manifests leave out.
    fn program(&self, text: &str) -> Result<PathBuf, LaunchError> {
        let mut path = self.place.bin.join(self.text(text)?);
        let has_ending = path.extension().is_some_and(|ending| {
            let ending = ending.to_string_lossy().to_ascii_lowercase();
            matches!(ending.as_str(), "exe" | "com" | "cmd" | "bat")
        });
        if self.place.os == Os::Windows && !has_ending {
            path.as_mut_os_string().push(".exe");
        }
        // A manifest writes `/`; the system it is for gets its own separator.
        Ok(path.components().collect())
    }

    fn service(&self, service: &Service) -> Result<aienv_shim::Service, LaunchError> {
        Ok(aienv_shim::Service {
            port: service.port,
            health: service.health.clone(),
            page: service.page.clone(),
            start_seconds: service.start_seconds,
            arguments: service
                .args
                .iter()
                .map(|text| self.expand(text, true))
                .collect::<Result<_, _>>()?,
            environment: service
                .env
                .iter()
                .map(|(name, text)| Ok((name.into(), self.expand(text, true)?)))
                .collect::<Result<_, LaunchError>>()?,
        })
    }

    fn texts<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t String>,
    ) -> Result<Vec<OsString>, LaunchError> {
        texts.into_iter().map(|text| self.text(text)).collect()
    }

    fn variables<'t>(
        &self,
        tables: impl IntoIterator<Item = &'t BTreeMap<String, String>>,
    ) -> Result<BTreeMap<OsString, OsString>, LaunchError> {
        tables
            .into_iter()
            .flatten()
            .map(|(name, text)| Ok((name.into(), self.text(text)?)))
            .collect()
    }

    fn text(&self, text: &str) -> Result<OsString, LaunchError> {
        self.expand(text, false)
    }

    /// Fills in placeholders; `for_service` leaves `{host}` and `{port}`.
    fn expand(&self, text: &str, for_service: bool) -> Result<OsString, LaunchError> {
        let mut out = OsString::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push(before);
            let name = after.split_once('}').map_or("", |(name, _)| name);
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
                out.push("{");
                rest = after;
                continue;
            }
            rest = &after[name.len() + 1..];
            if for_service && matches!(name, "host" | "port") {
                out.push(format!("{{{name}}}"));
            } else {
                out.push(self.value(name).map_err(|why| LaunchError::Placeholder {
                    command: self.command.to_owned(),
                    text: text.to_owned(),
                    placeholder: name.to_owned(),
                    why,
                })?);
            }
        }
        out.push(rest);
        Ok(out)
    }

    fn value(&self, placeholder: &str) -> Result<&OsStr, &'static str> {
        let place = self.place;
        let path = match placeholder {
            "python" => place.python,
            "bin" => place.bin,
            "prefix" => place.prefix,
            "tree" => place.tree.ok_or("but the tool has no source tree")?,
            "data" => place.data,
            "models" => place.models,
            "host" | "port" => return Err("which only a `service` table may use"),
            _ => return Err("which is not known"),
        };
        Ok(path.as_os_str())
    }
}

fn kind(accelerator: Accelerator) -> AcceleratorKind {
    match accelerator {
        Accelerator::Cpu => AcceleratorKind::Cpu,
        Accelerator::Cuda(..) => AcceleratorKind::Cuda,
        Accelerator::Rocm(..) => AcceleratorKind::Rocm,
        Accelerator::Xpu => AcceleratorKind::Xpu,
        Accelerator::Mps => AcceleratorKind::Mps,
    }
}

/// Whether a command can be a file in `bin/`: a plain name, and not aienv's own.
pub fn is_command_name(name: &str) -> bool {
    !name.is_empty()
        && !name.eq_ignore_ascii_case("aienv")
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        schema = 1
        name = "sketch"
        title = "Sketch"
        summary = "draws"
        homepage = "https://index.example"
        licence = "MIT"
        category = "image"
        [source.index]
        package = "sketch"
        [accelerators.cpu]
        args = ["--cpu"]
        env = { SHARED = "accelerator", ONLY = "{models}/x" }
        [accelerators.cuda]
        [env]
        SHARED = "manifest"
        OTHER = "manifest"
        [env-default]
        HF_HOME = "{models}/huggingface"
        [commands.sketch]
        run = ["{python}", "{tree}/main.py", "--json", '{"a": {"b": 1}}', "{data}"]
        default = true
        cwd = "{data}"
        env = { OTHER = "command" }
        [commands.sketch.service]
        port = 8188
        health = "/ok"
        args = ["--listen", "{host}:{port}"]
        env = { HOME_OF = "{prefix} {port}" }
        [commands.sketch-tool]
        run = ["sketch-cli"]
        accelerator-args = false
    "#;

    static NONE: BTreeMap<String, String> = BTreeMap::new();

    fn place(accelerator: Accelerator) -> Placement<'static> {
        Placement {
            prefix: Path::new("/h/prefixes/1"),
            python: Path::new("/h/prefixes/1/bin/python"),
            bin: Path::new("/h/prefixes/1/bin"),
            site_packages: Path::new("/nowhere"),
            tree: Some(Path::new("/h/a tree")),
            data: Path::new("/h/data"),
            models: Path::new("/h/models"),
            accelerator,
            environment: &NONE,
            generation: 4,
            system_python: None,
            os: Os::Linux,
        }
    }

    fn manifest(text: &str) -> Manifest {
        toml::from_str(text).unwrap()
    }

    fn variable(record: &LaunchRecord, name: &str) -> Option<String> {
        let environment = record.environment.apply([], |_| false);
        let found = environment.into_iter().find(|(other, _)| other == name)?;
        found.1.into_string().ok()
    }

    #[test]
    fn what_the_gpus_need_is_a_default_too() {
        let needed = [("CUDA_VISIBLE_DEVICES".to_owned(), "1".to_owned())].into();
        let mut place = place(Accelerator::Cpu);
        place.environment = &needed;
        let records = build(&manifest(MANIFEST), &place).unwrap();
        let record = &records[0];
        let visible = |user: Option<&str>| {
            let theirs = user.map(|value| ("CUDA_VISIBLE_DEVICES".into(), value.into()));
            let environment = record.environment.apply(theirs, |_| false);
            let mut found = environment.into_iter();
            found
                .find(|(name, _)| name == "CUDA_VISIBLE_DEVICES")
                .unwrap()
                .1
        };
        assert_eq!(visible(None), "1");
        assert_eq!(visible(Some("0")), "0");
    }

    #[test]
    fn a_default_gives_way_to_the_user() {
        let records = build(&manifest(MANIFEST), &place(Accelerator::Cpu)).unwrap();
        assert_eq!(
            variable(&records[0], "HF_HOME").unwrap(),
            "/h/models/huggingface"
        );
        let own = [("HF_HOME".into(), "/mine".into())];
        let environment = records[0].environment.apply(own, |_| false);
        let found = environment.iter().find(|(name, _)| *name == "HF_HOME");
        assert_eq!(found.unwrap().1, "/mine");
    }

    #[test]
    fn a_manifest_becomes_records() {
        let records = build(&manifest(MANIFEST), &place(Accelerator::Cpu)).unwrap();
        let [serve, cli] = records.as_slice() else {
            panic!("two commands")
        };
        assert_eq!(serve.program, Path::new("/h/prefixes/1/bin/python"));
        assert_eq!(
            serve.arguments,
            [
                "/h/a tree/main.py",
                "--json",
                r#"{"a": {"b": 1}}"#,
                "/h/data",
                "--cpu"
            ]
        );
        assert_eq!(serve.folder.as_deref(), Some(Path::new("/h/data")));
        assert!(serve.is_default && !cli.is_default);
        let service = serve.service.as_ref().unwrap();
        assert_eq!(service.arguments, ["--listen", "{host}:{port}"]);
        assert_eq!(service.environment[0].1, "/h/prefixes/1 {port}");
        assert_eq!(cli.program, Path::new("/h/prefixes/1/bin/sketch-cli"));
        assert!(cli.arguments.is_empty());

        for (name, value) in [
            ("SHARED", "accelerator"),
            ("OTHER", "command"),
            ("ONLY", "/h/models/x"),
            ("PYTHONNOUSERSITE", "1"),
            ("AIENV_TOOL", "sketch"),
            ("AIENV_DATA", "/h/data"),
            ("PATH", "/h/prefixes/1/bin"),
        ] {
            assert_eq!(variable(serve, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(variable(cli, "OTHER").as_deref(), Some("manifest"));
    }

    #[test]
    fn placeholders_without_a_value_are_errors() {
        for (from, to, placeholder) in [
            ("{data}\"]", "{dta}\"]", "{dta}"),
            ("sketch-cli", "{port}", "{port}"),
        ] {
            let text = MANIFEST.replace(from, to);
            let error = build(&manifest(&text), &place(Accelerator::Cpu)).unwrap_err();
            assert!(error.to_string().contains(placeholder), "{error}");
        }
        let mut place = place(Accelerator::Cpu);
        place.tree = None;
        let error = build(&manifest(MANIFEST), &place).unwrap_err();
        assert!(error.to_string().contains("no source tree"), "{error}");
    }

    #[test]
    fn programs_have_an_ending_on_windows() {
        let program = |run: &str, os| {
            let text = MANIFEST.replace("run = [\"sketch-cli\"]", &format!("run = [\"{run}\"]"));
            let mut place = place(Accelerator::Cpu);
            place.os = os;
            let records = build(&manifest(&text), &place).unwrap();
            let below = records[1].program.strip_prefix("/h/prefixes/1/bin");
            below.unwrap().display().to_string()
        };
        for (run, windows) in [
            ("sketch-cli", "sketch-cli.exe"),
            ("{bin}/sketch-cli", "sketch-cli.exe"),
            ("{bin}/tool-3.12", "tool-3.12.exe"),
            ("{bin}/npm.CMD", "npm.CMD"),
            ("a.exe", "a.exe"),
        ] {
            assert_eq!(program(run, Os::Windows), windows);
            let linux = run.trim_start_matches("{bin}/");
            assert_eq!(program(run, Os::Linux), linux);
        }
    }

    #[test]
    fn packaged_cuda_libraries_on_windows() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["cudnn/bin", "cu13/bin/x86_64", "cu13/include"] {
            std::fs::create_dir_all(root.path().join("nvidia").join(folder)).unwrap();
        }
        let nvidia = root.path().join("nvidia");
        assert_eq!(
            rules::library_folders(root.path(), Accelerator::Cuda(13, 0), Os::Windows),
            [
                nvidia.join("cu13/bin"),
                nvidia.join("cu13/bin/x86_64"),
                nvidia.join("cudnn/bin")
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn packaged_cuda_libraries_are_on_the_loaders_path() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["nvidia/cudnn/lib", "nvidia/cublas/lib", "nvidia/none"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let mut place = place(Accelerator::Cuda(12, 8));
        place.site_packages = root.path();
        let records = build(&manifest(MANIFEST), &place).unwrap();
        let nvidia = root.path().join("nvidia");
        let expected =
            std::env::join_paths([nvidia.join("cublas/lib"), nvidia.join("cudnn/lib")]).unwrap();
        assert_eq!(
            variable(&records[0], "LD_LIBRARY_PATH"),
            expected.into_string().ok()
        );
        place.accelerator = Accelerator::Cpu;
        let records = build(&manifest(MANIFEST), &place).unwrap();
        assert_eq!(variable(&records[0], "LD_LIBRARY_PATH"), None);
    }

    #[test]
    fn command_names_are_plain_file_names() {
        for good in ["comfyui", "llama-server", "python3.12", "g++"] {
            assert!(is_command_name(good), "{good}");
        }
        for bad in [
            "", "aienv", "AIENV", ".launch", "a/b", "a\\b", "a b", "-x", "a:", "x.",
        ] {
            assert!(!is_command_name(bad), "{bad}");
        }
    }
}
