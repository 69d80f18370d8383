//! Which packages the evidence says are installed, and in which versions.

use std::collections::BTreeMap;

use super::scan::{Scan, pattern};
use crate::{
    doctor::{evidence::Evidence, text::Origin},
    types::Version,
};

/// A package somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What was said of its version: `2.9.0+cu128`, or more than that.
    pub said: String,
    /// The version in it.
    pub version: Option<Version>,
    /// The line, for a person.
    pub quote: String,
}

/// Packages by normalised name.
#[derive(Debug, Default)]
pub struct Packages(BTreeMap<String, Vec<Package>>);

impl Packages {
    pub(super) fn of(evidence: &Evidence, scan: &Scan<'_>) -> Self {
        let mut packages = Self::default();
        for (name, said) in &evidence.packages {
            packages.add(name, said, format!("package: {name} {said}"));
        }
        let named = pattern!(
            r"(?i)(?:^|[\s\[\]('`,/])(torch(?:vision|audio|text|data|codec|ao)?|pytorch|triton(?:-windows)?|pytorch-triton(?:-rocm)?|xformers|flash[-_]attn|numpy|onnxruntime(?:-gpu|-rocm|-directml)?|ctranslate2|faster[-_]whisper|whisperx|bitsandbytes|transformers|diffusers|accelerate|vllm|sglang|tensorrt(?:-cu1[0-9])?|tensorflow(?:-gpu)?|jax(?:lib)?|llama[-_]cpp[-_]python|mmcv(?:-full)?|torch[-_](?:scatter|sparse|cluster|geometric)|insightface|opencv-python|cudatoolkit|pytorch-cuda|cupy-cuda[0-9x]+|nvidia-[a-z0-9-]+?-cu1[0-9]|nvidia-(?:cublas|cuda-runtime|cuda-nvrtc|cudnn|nvjitlink)|deepspeed|sageattention|detectron2|pytorch3d)(?: version)?(?: ?(?:==|=) ?|[ -]v?| to v?| {2,}|:? \(?|\t)([0-9]+(?:\.[0-9]+)+[0-9a-z.+_]*)"
        );
        // What uv added and took away, one a line.
        let differs = scan
            .all(pattern!(r"(?m)^\+ [a-z0-9._-]+=="))
            .next()
            .is_some();
        for (found, place) in scan.all(named) {
            let line = place.line;
            let removed = differs && line.text.starts_with("- ");
            if line.origin == Origin::Package || removed {
                continue;
            }
            // What somebody wants or was built for is not what is there.
            let name = &found[1];
            let line_start = line.text.find(name).unwrap_or(0);
            let before = line.text[..line_start].to_lowercase();
            let wanted = [
                "require",
                "needs",
                "built for",
                "compile",
                "satisfies",
                "expects",
                "compatible with",
                "collecting",
                "downloading",
                "index-url",
                "install",
                "uninstall",
            ];
            let installed = before.contains("successfully installed")
                || before.contains("installed:")
                || before.contains("already satisfied");
            if !installed && wanted.iter().any(|word| before.contains(word)) {
                continue;
            }
            packages.add(name, &found[2], place.quote());
        }
        packages.read_command(scan);
        packages
    }

    /// The torch somebody asked for, where nothing says which one is there and nothing refused it.
    fn read_command(&mut self, scan: &Scan<'_>) {
        let command =
            pattern!(r"(?i)\bpip3? install\b[^\n]{0,60}?\btorch==([0-9]+(?:\.[0-9]+)+[0-9a-z.+]*)");
        let refused =
            pattern!(r"(?i)no matching distribution|could not find a version|no solution");
        if self.has("torch") || scan.all(refused).next().is_some() {
            return;
        }
        if let Some((found, place)) = scan.all(command).next() {
            self.add("torch", &found[1], place.quote());
        }
    }

    fn add(&mut self, name: &str, said: &str, quote: String) {
        let name = match name.to_lowercase().replace(['_', '.'], "-").as_str() {
            "pytorch" => "torch".to_owned(),
            other => other.to_owned(),
        };
        let entries = self.0.entry(name).or_default();
        if !entries.iter().any(|known| known.said == said) {
            entries.push(Package {
                version: version(said),
                said: said.to_owned(),
                quote,
            });
        }
    }

    /// What is said of a package, the structured field first.
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.0.get(name)?.first()
    }

    /// Everything that is said of a package.
    pub fn all(&self, name: &str) -> &[Package] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a package is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Names and what is said of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.0
            .iter()
            .flat_map(|(name, all)| all.iter().map(move |package| (name.as_str(), package)))
    }
}

/// The first version in a text, without a local label.
fn version(said: &str) -> Option<Version> {
    let found = pattern!(r"[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc|\.post|\.dev)[0-9]+)*").find(said)?;
    found.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::text::lines_of;

    #[test]
    fn what_uv_takes_away_is_not_there() {
        let evidence =
            Evidence::from_text(" - torch==2.9.0+cu128\n + torch==2.9.1\n - numpy==1.26.4");
        let lines = lines_of(&evidence);
        let packages = Packages::of(&evidence, &Scan::new(&lines));
        assert_eq!(packages.all("torch").len(), 1);
        assert_eq!(packages.get("torch").unwrap().said, "2.9.1");
        assert!(!packages.has("numpy"));
    }

    #[test]
    fn packages_are_read_from_fields_and_text() {
        let mut evidence = Evidence::from_text(
            "torch                 2.9.0+cu128\n[pip3] torchvision==0.24.0\n\
             xformers was built for torch 2.5.1\nvllm requires torch==2.4.0, but you have\n\
             Successfully installed numpy-2.1.0 onnxruntime-gpu-1.20.1\nPyTorch version: 2.9.0+cu128\n\
             nvidia-cublas-cu12     12.8.4.1",
        );
        evidence
            .packages
            .push(("flash_attn".to_owned(), "2.6.3 (wheel)".to_owned()));
        let lines = lines_of(&evidence);
        let packages = Packages::of(&evidence, &Scan::new(&lines));
        let said = |name: &str| packages.get(name).unwrap().said.clone();
        assert_eq!(said("torch"), "2.9.0+cu128");
        assert_eq!(packages.all("torch").len(), 1);
        assert_eq!(said("torchvision"), "0.24.0");
        assert_eq!(said("numpy"), "2.1.0");
        assert_eq!(said("onnxruntime-gpu"), "1.20.1");
        assert_eq!(said("nvidia-cublas-cu12"), "12.8.4.1");
        assert_eq!(
            packages
                .get("flash-attn")
                .unwrap()
                .version
                .as_ref()
                .unwrap()
                .to_string(),
            "2.6.3"
        );
        assert!(!packages.has("vllm"));
    }
}
