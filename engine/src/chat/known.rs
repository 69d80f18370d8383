//! Templates for files that bring none, chosen by what the file tells about itself.

use crate::gguf::Metadata;
use crate::tokenizer::{Kind, Tokenizer};

/// A kind of conversation, and what a file of that kind shows.
pub(super) struct Known {
    pub name: &'static str,
    pub source: &'static str,
    /// Control or user-defined tokens that all have to be there.
    tokens: &'static [&'static str],
    /// Any of these has to be in the model's name, in lower case.
    names: &'static [&'static str],
}

/// In the order of trying. A row without tokens goes by the name alone.
const KINDS: &[Known] = &[
    Known {
        name: "chatml",
        source: include_str!("templates/chatml.jinja"),
        tokens: &["<|im_start|>", "<|im_end|>"],
        names: &[],
    },
    Known {
        name: "llama3",
        source: include_str!("templates/llama3.jinja"),
        tokens: &["<|start_header_id|>", "<|eot_id|>"],
        names: &[],
    },
    Known {
        name: "gemma",
        source: include_str!("templates/gemma.jinja"),
        tokens: &["<start_of_turn>", "<end_of_turn>"],
        names: &[],
    },
    Known {
        name: "granite",
        source: include_str!("templates/granite.jinja"),
        tokens: &["<|start_of_role|>", "<|end_of_role|>"],
        names: &[],
    },
    Known {
        name: "command-r",
        source: include_str!("templates/command-r.jinja"),
        tokens: &["<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"],
        names: &[],
    },
    Known {
        name: "deepseek",
        source: include_str!("templates/deepseek.jinja"),
        tokens: &["<｜User｜>", "<｜Assistant｜>"],
        names: &[],
    },
    Known {
        name: "phi3",
        source: include_str!("templates/phi3.jinja"),
        tokens: &["<|user|>", "<|assistant|>", "<|end|>"],
        names: &[],
    },
    Known {
        name: "mistral",
        source: include_str!("templates/mistral.jinja"),
        tokens: &["[INST]", "[/INST]"],
        names: &[],
    },
    Known {
        name: "zephyr",
        source: include_str!("templates/zephyr.jinja"),
        tokens: &[],
        names: &["zephyr", "tinyllama"],
    },
    Known {
        name: "vicuna",
        source: include_str!("templates/vicuna.jinja"),
        tokens: &[],
        names: &["vicuna", "wizardlm"],
    },
    Known {
        name: "mistral",
        source: include_str!("templates/mistral.jinja"),
        tokens: &[],
        names: &["mistral", "mixtral"],
    },
    Known {
        name: "llama2",
        source: include_str!("templates/llama2.jinja"),
        tokens: &[],
        names: &["llama-2", "llama 2", "llama2", "codellama"],
    },
];

/// The kind that suits the file, and whether that is more than a guess.
pub(super) fn find(metadata: &Metadata, tokenizer: &Tokenizer) -> (&'static Known, bool) {
    let text = |key| {
        metadata
            .text(key)
            .ok()
            .flatten()
            .unwrap_or_default()
            .to_lowercase()
    };
    let names = [text("general.name"), text("general.basename")];
    let marked = |token: &&str| {
        let kind = tokenizer.id(token).and_then(|id| tokenizer.kind(id));
        matches!(kind, Some(Kind::Control | Kind::UserDefined))
    };
    let suits = |known: &&Known| match known.tokens {
        [] => known
            .names
            .iter()
            .any(|part| names.iter().any(|name| name.contains(part))),
        tokens => tokens.iter().all(marked),
    };
    match KINDS.iter().find(suits) {
        Some(known) => (known, true),
        None => (&KINDS[0], false),
    }
}
