//! Where things lie in a prefix (the `venv` scheme of Python's `sysconfig`).
//!
//! ```text
//! <prefix>/                        on Windows
//! ├── pyvenv.cfg                   pyvenv.cfg
//! ├── bin/                         Scripts\
//! ├── lib/python3.12/site-packages Lib\site-packages
//! ├── lib64 -> lib                 (64-bit Linux only)
//! ├── include/site/python3.12/     Include\
//! └── tree/                        the source tree, for tools that are one
//! ```
//!
//! `purelib` and `platlib` are one folder in this scheme, so `Root-Is-Purelib` makes no difference.

use super::PythonRuntime;
use crate::types::PythonVersion;

/// Relative paths, with `/` between components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// `python3.12`, `python3.13t`.
    python: String,
    windows: bool,
}

impl Layout {
    pub(crate) fn of(runtime: &PythonRuntime) -> Self {
        Self::new(
            runtime.feature_release(),
            runtime.freethreaded,
            cfg!(windows),
        )
    }

    fn new(version: PythonVersion, freethreaded: bool, windows: bool) -> Self {
        let suffix = if freethreaded { "t" } else { "" };
        Self {
            python: format!("python{version}{suffix}"),
            windows,
        }
    }

    /// `python3.12`.
    pub(crate) fn python(&self) -> &str {
        &self.python
    }

    pub(crate) fn is_windows(&self) -> bool {
        self.windows
    }

    pub(crate) fn site_packages(&self) -> String {
        if self.windows {
            "Lib/site-packages".to_owned()
        } else {
            format!("lib/{}/site-packages", self.python)
        }
    }

    pub(crate) fn scripts(&self) -> &'static str {
        if self.windows { "Scripts" } else { "bin" }
    }

    /// Headers of a package.
    pub(crate) fn headers(&self, package: &str) -> String {
        if self.windows {
            format!("Include/{package}")
        } else {
            format!("include/site/{}/{package}", self.python)
        }
    }

    /// The interpreter.
    pub(crate) fn interpreter(&self) -> &'static str {
        if self.windows {
            "Scripts/python.exe"
        } else {
            "bin/python"
        }
    }

    /// Whether a path is part of the environment itself and no package may bring it.
    pub(crate) fn is_reserved(&self, path: &str) -> bool {
        let lower = path.to_lowercase();
        if matches!(lower.as_str(), "pyvenv.cfg" | "tree" | "lib64")
            || lower.starts_with("tree/")
            || lower.starts_with("lib64/")
        {
            return true;
        }
        let Some(script) = lower.strip_prefix(&format!("{}/", self.scripts().to_lowercase()))
        else {
            return false;
        };
        let stem = script.strip_suffix(".exe").unwrap_or(script);
        // python, python3, python3.12, pythonw
        stem.strip_prefix("python").is_some_and(|rest| {
            rest == "w"
                || rest
                    .chars()
                    .all(|c| c.is_ascii_digit() || c == '.' || c == 't')
        })
    }

    /// A path of the prefix as RECORD names it: relative to site-packages.
    pub(crate) fn record_path(&self, path: &str) -> String {
        let site = self.site_packages();
        match path.strip_prefix(&site).and_then(|p| p.strip_prefix('/')) {
            Some(inside) => inside.to_owned(),
            None => "../".repeat(site.split('/').count()) + path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let unix = Layout::new(PythonVersion::new(3, 13), true, false);
        assert_eq!(unix.site_packages(), "lib/python3.13t/site-packages");
        assert_eq!(unix.record_path("bin/x"), "../../../bin/x");
        assert_eq!(unix.record_path("lib/python3.13t/site-packages/a/b"), "a/b");
        let windows = Layout::new(PythonVersion::new(3, 12), false, true);
        assert_eq!(windows.record_path("Scripts/x.py"), "../../Scripts/x.py");
        for reserved in [
            "pyvenv.cfg",
            "bin/python",
            "bin/Python3",
            "bin/python3.13",
            "lib64/x",
        ] {
            assert!(unix.is_reserved(reserved), "{reserved}");
        }
        for free in ["bin/python-config", "bin/pythonic", "etc/x", "share/python"] {
            assert!(!unix.is_reserved(free), "{free}");
        }
    }
}
