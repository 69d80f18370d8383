//! The manifests that are part of the program: every tool of `manifests/`.
//!
//! The list is written out, so that a plain build embeds it without a build script; a test fails
//! when a file of the folder is missing here.

/// Name and text of each manifest.
macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../manifests/", $name, ".toml")))),*]
    };
}

/// Name and text of each manifest, sorted by name.
pub(super) const MANIFESTS: &[(&str, &str)] = embed![
    "accelerate",
    "aider-chat",
    "chatterbox-tts",
    "chromadb",
    "comfy-cli",
    "comfyui",
    "demucs",
    "diffusers",
    "docling",
    "f5-tts",
    "faster-whisper",
    "gradio",
    "invokeai",
    "jupyterlab",
    "kokoro",
    "langflow",
    "litellm",
    "llama-cpp-python",
    "lmdeploy",
    "marker-pdf",
    "mlx-lm",
    "onnxruntime",
    "open-webui",
    "openai-whisper",
    "peft",
    "piper",
    "rembg",
    "sglang",
    "transformers",
    "trl",
    "ultralytics",
    "vllm",
    "whisperx",
];
