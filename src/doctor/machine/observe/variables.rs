//! Environment variables that reach into other people's programs, and what is behind them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use serde::{Deserialize, Serialize};

use crate::{host::root::Root, settings::without_login};

/// Environment variables: the process's own, or a test's.
pub(in crate::doctor) type Env<'a> = &'a (dyn Fn(&str) -> Option<OsString> + Sync);

/// Variables whose value is kept as it is.
const PLAIN: &[&str] = &[
    "CONDA_PREFIX",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_PATH",
    "CUDA_VERSION",
    "CUDA_VISIBLE_DEVICES",
    "CURL_CA_BUNDLE",
    "DYLD_LIBRARY_PATH",
    "GLOO_SOCKET_IFNAME",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NCCL_SOCKET_IFNAME",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_REQUIRE_CUDA",
    "NVIDIA_VISIBLE_DEVICES",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "PYTHONPATH",
    "REQUESTS_CA_BUNDLE",
    "ROCR_VISIBLE_DEVICES",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "ZE_AFFINITY_MASK",
];

/// Variables that hold addresses, perhaps with a login.
const PROXIES: &[&str] = &[
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
];

/// Beginnings of names of libraries that exist in many versions, of which a program may get the
/// wrong one.
const LIBRARIES: &[&str] = &[
    "libamdhip64.so",
    "libcublas.so",
    "libcublasLt.so",
    "libcuda.so",
    "libcudart.so",
    "libcudnn.so",
    "libcufft.so",
    "libcurand.so",
    "libcusolver.so",
    "libcusparse.so",
    "libhsa-runtime64.so",
    "libnccl.so",
    "libnvJitLink.so",
    "libnvidia-ml.so",
    "libnvrtc.so",
    "librocblas.so",
    "libstdc++.so",
];

/// Packages that environments carry themselves, each in a version of its own.
const PACKAGES: &[&str] = &[
    "accelerate",
    "cv2",
    "diffusers",
    "numpy",
    "onnxruntime",
    "tensorflow",
    "torch",
    "torchaudio",
    "torchvision",
    "transformers",
    "triton",
    "xformers",
];

/// The variables that are set, and the folders they name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variables {
    /// Values by name; logins are taken out.
    pub values: BTreeMap<String, String>,
    /// Proxy variables whose value is no address.
    pub bad_proxies: BTreeSet<String>,
    /// Folders and files that variables name.
    pub folders: Vec<Folder>,
    /// Packages in the user's own site folders.
    pub user_site: Vec<Folder>,
    /// Network interfaces, where a variable names some.
    pub interfaces: Vec<String>,
}

/// A folder or file that a variable names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Folder {
    /// The variable.
    pub variable: String,
    /// Its path.
    pub path: String,
    /// It is there.
    pub exists: bool,
    /// Libraries in it of which a program may get the wrong one.
    pub libraries: BTreeSet<String>,
    /// Packages in it that environments carry themselves.
    pub packages: Vec<String>,
}

impl Variables {
    /// A value; an empty one counts, because for some variables it means something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A value that is not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    /// What a variable names.
    pub fn folders_of<'s>(&'s self, variable: &'s str) -> impl Iterator<Item = &'s Folder> {
        self.folders
            .iter()
            .filter(move |folder| folder.variable == variable)
    }

    /// Reads the environment and looks into the folders it names.
    pub(in crate::doctor) fn read(root: &Root, env: Env<'_>) -> Self {
        let text = |name: &str| Some(env(name)?.to_string_lossy().into_owned());
        let mut variables = Self::default();
        for name in PLAIN {
            if let Some(value) = text(name) {
                variables.values.insert((*name).to_owned(), value);
            }
        }
        for name in PROXIES {
            let Some(value) = text(name).filter(|value| !value.is_empty()) else {
                continue;
            };
            if !is_address(&value) {
                variables.bad_proxies.insert((*name).to_owned());
            }
            variables
                .values
                .insert((*name).to_owned(), without_login(&value));
        }
        for name in ["LD_LIBRARY_PATH", "PYTHONPATH"] {
            let list = text(name).unwrap_or_default();
            let paths = std::env::split_paths(&list);
            variables.folders.extend(
                paths
                    .filter(|path| !path.as_os_str().is_empty())
                    .map(|path| look(root, name, &path.to_string_lossy())),
            );
        }
        for name in [
            "CONDA_PREFIX",
            "CUDA_HOME",
            "CUDA_PATH",
            "CURL_CA_BUNDLE",
            "PYTHONHOME",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_DIR",
            "SSL_CERT_FILE",
            "TMPDIR",
        ] {
            if let Some(path) = text(name).filter(|value| !value.is_empty()) {
                variables.folders.push(Folder {
                    variable: name.to_owned(),
                    exists: root.exists(&path),
                    path,
                    ..Folder::default()
                });
            }
        }
        variables.user_site = user_sites(root, text)
            .iter()
            .map(|path| look(root, "", path))
            .filter(|folder| !folder.packages.is_empty())
            .collect();
        if ["NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"]
            .iter()
            .any(|name| variables.filled(name).is_some())
        {
            variables.interfaces = root.list("/sys/class/net");
        }
        variables
    }
}

/// Whether a proxy's value can be used: an address, with or without its scheme.
fn is_address(value: &str) -> bool {
    let value = match value.contains("://") {
        true => value.to_owned(),
        false => format!("http://{value}"),
    };
    url::Url::parse(&value).is_ok_and(|url| url.has_host())
}

fn look(root: &Root, variable: &str, path: &str) -> Folder {
    let names = root.list(path);
    Folder {
        variable: variable.to_owned(),
        path: path.to_owned(),
        exists: root.exists(path),
        libraries: names
            .iter()
            .filter_map(|name| LIBRARIES.iter().find(|known| name.starts_with(**known)))
            .map(|known| (*known).to_owned())
            .collect(),
        packages: names
            .iter()
            .filter(|name| PACKAGES.contains(&name.as_str()))
            .filter(|name| root.exists(&format!("{path}/{name}/__init__.py")))
            .cloned()
            .collect(),
    }
}

/// The user's site folders (`site.getusersitepackages`), one per feature release of Python.
fn user_sites(root: &Root, text: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let below = |base: String, tail: &str| {
        let names = root.list(&base).into_iter();
        let tail = tail.to_owned();
        names.map(move |name| format!("{base}/{name}{tail}"))
    };
    if cfg!(windows) {
        let base = text("APPDATA").map(|folder| format!("{folder}\\Python"));
        let folders = base.into_iter();
        return folders
            .flat_map(|base| below(base, "/site-packages"))
            .collect();
    }
    let Some(home) = text("HOME").filter(|home| !home.is_empty()) else {
        return Vec::new();
    };
    if cfg!(target_os = "macos") {
        let base = format!("{home}/Library/Python");
        return below(base, "/lib/python/site-packages").collect();
    }
    below(format!("{home}/.local/lib"), "/site-packages")
        .filter(|path| path.contains("/python"))
        .collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    fn read(tree: &Tree, set: &[(&str, &str)]) -> Variables {
        let env = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Variables::read(&tree.root, &env)
    }

    #[test]
    fn folders_are_looked_into() {
        let tree = Tree::new(&[
            ("/usr/local/cuda/lib64/libcudart.so.12.4.127", ""),
            ("/usr/local/cuda/lib64/libcudart.so", ""),
            ("/usr/local/cuda/lib64/libnpp.so", ""),
            ("/opt/lib/numpy/__init__.py", ""),
            ("/opt/lib/numpy.txt", ""),
            ("/opt/lib/torch/", ""),
            (
                "/home/ada/.local/lib/python3.12/site-packages/torch/__init__.py",
                "",
            ),
            ("/home/ada/.local/lib/python3.11/site-packages/six.py", ""),
        ]);
        let variables = read(
            &tree,
            &[
                ("LD_LIBRARY_PATH", "/usr/local/cuda/lib64::/gone"),
                ("PYTHONPATH", "/opt/lib"),
                ("CUDA_HOME", "/usr/local/cuda"),
                ("CUDA_VISIBLE_DEVICES", ""),
                ("HOME", "/home/ada"),
                ("SECRET", "x"),
            ],
        );
        let folders: Vec<_> = variables.folders_of("LD_LIBRARY_PATH").collect();
        assert_eq!(folders.len(), 2);
        assert!(folders[0].exists && !folders[1].exists);
        assert!(folders[0].libraries.iter().eq(["libcudart.so"]));
        let python: Vec<_> = variables.folders_of("PYTHONPATH").collect();
        assert_eq!(python[0].packages, ["numpy"]);
        assert!(
            variables
                .folders_of("CUDA_HOME")
                .all(|folder| folder.exists)
        );
        assert_eq!(variables.get("CUDA_VISIBLE_DEVICES"), Some(""));
        assert_eq!(variables.filled("CUDA_VISIBLE_DEVICES"), None);
        assert_eq!(variables.get("SECRET"), None);
        assert_eq!(variables.user_site.len(), 1);
        assert!(variables.interfaces.is_empty());
    }

    #[test]
    fn proxies_lose_their_logins() {
        let tree = Tree::new(&[]);
        let variables = read(
            &tree,
            &[
                ("HTTPS_PROXY", "http://ada:secret@proxy.example:3128"),
                ("http_proxy", "proxy.example:3128"),
                ("ALL_PROXY", "http://"),
            ],
        );
        let told = format!("{variables:?}");
        assert!(!told.contains("secret"), "{told}");
        assert!(variables.bad_proxies.iter().eq(["ALL_PROXY"]), "{told}");
    }

    #[test]
    fn interfaces_only_where_a_variable_asks() {
        let tree = Tree::new(&[("/sys/class/net/lo/", ""), ("/sys/class/net/eth0/", "")]);
        let variables = read(&tree, &[("NCCL_SOCKET_IFNAME", "ib0")]);
        assert_eq!(variables.interfaces, ["eth0", "lo"]);
    }
}
