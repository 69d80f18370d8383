//! Tokens with a meaning of their own: begin and end of text, end of a turn, fill in the middle.
//!
//! Files name some by id. Others have to be known by their texts, since converters did not always
//! write the ids; the texts are data below. What the reader of ggml-org/llama.cpp takes to end a
//! generation is taken here too (src/llama-vocab.cpp, read 2026-11).

use super::Error;
use super::vocabulary::{Kind, Vocabulary};
use crate::gguf::Metadata;

/// Ids of tokens with a meaning; `None` where the vocabulary has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// Begin of text.
    pub bos: Option<u32>,
    /// End of text.
    pub eos: Option<u32>,
    /// End of a turn in a conversation.
    pub eot: Option<u32>,
    /// End of a message that is not the end of a turn.
    pub eom: Option<u32>,
    /// Unknown text.
    pub unknown: Option<u32>,
    /// Between two texts.
    pub separator: Option<u32>,
    /// Filler.
    pub padding: Option<u32>,
    /// To be guessed.
    pub mask: Option<u32>,
    /// Before the text that precedes a gap to fill.
    pub fim_prefix: Option<u32>,
    /// Before the text that follows a gap to fill.
    pub fim_suffix: Option<u32>,
    /// Where the filling begins.
    pub fim_middle: Option<u32>,
    /// Filler in gap tasks.
    pub fim_padding: Option<u32>,
    /// Before a repository's name.
    pub fim_repository: Option<u32>,
    /// Between files.
    pub fim_separator: Option<u32>,
}

/// Each field with the keys that may name its id, the first ones first, and the texts by which it is
/// known otherwise.
type Row = (
    fn(&mut Special) -> &mut Option<u32>,
    &'static [&'static str],
    &'static [&'static str],
);

const ROWS: &[Row] = &[
    (|s| &mut s.bos, &["bos"], &[]),
    (|s| &mut s.eos, &["eos"], &[]),
    (
        |s| &mut s.eot,
        &["eot"],
        &[
            "<|eot_id|>",
            "<|im_end|>",
            "<|end|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<EOT>",
            "_<EOT>",
            "[EOT]",
            "<｜end▁of▁sentence｜>",
            "<end_of_utterance>",
        ],
    ),
    (|s| &mut s.eom, &["eom"], &["<|eom_id|>"]),
    (|s| &mut s.unknown, &["unknown"], &[]),
    // The key is spelled like this.
    (|s| &mut s.separator, &["seperator"], &[]),
    (|s| &mut s.padding, &["padding"], &[]),
    (|s| &mut s.mask, &["mask"], &[]),
    (
        |s| &mut s.fim_prefix,
        &["prefix", "fim_pre"],
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
    ),
    (
        |s| &mut s.fim_suffix,
        &["suffix", "fim_suf"],
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
    ),
    (
        |s| &mut s.fim_middle,
        &["middle", "fim_mid"],
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
    ),
    (
        |s| &mut s.fim_padding,
        &["fim_pad"],
        &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
    ),
    (
        |s| &mut s.fim_repository,
        &["fim_rep"],
        &[
            "<|fim_repo|>",
            "<|repo_name|>",
            "<fim-repo>",
            "<REPO>",
            "<reponame>",
        ],
    ),
    (|s| &mut s.fim_separator, &["fim_sep"], &["<|file_sep|>"]),
];

/// Texts of tokens that end a generation wherever they occur.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Marks of the harmony format; they are text that a reader of the answer has to see.
const VISIBLE: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

impl Special {
    /// Completes `self`, which holds the defaults of the tokenizer's model, from the file and from
    /// the texts of tokens. Corrects the kinds of tokens that are plainly control tokens. Returns
    /// the tokens that end a generation, in ascending order.
    pub(super) fn read(
        &mut self,
        metadata: &Metadata,
        vocabulary: &mut Vocabulary,
    ) -> Result<Vec<u32>, Error> {
        let known = |id: &u64| *id < vocabulary.len() as u64;
        for (field, keys, _) in ROWS {
            let field = field(self);
            *field = field.filter(|&id| known(&id.into()));
            for key in *keys {
                let key = format!("tokenizer.ggml.{key}_token_id");
                // Some converters write -1 (as any width) for "none".
                let id = match metadata.number(&key)? {
                    Some(id) if id < 0.0 => None,
                    _ => metadata.count(&key)?.filter(known),
                };
                if let Some(id) = id {
                    *field = Some(id as u32);
                }
            }
        }
        let mut ends = Vec::new();
        for (field, _, texts) in ROWS {
            let field = field(self);
            if field.is_none() {
                *field = texts
                    .iter()
                    .find_map(|text| vocabulary.texts.find(text.as_bytes()));
                if let Some(id) = *field {
                    vocabulary.kinds[id as usize] = Kind::Control;
                }
            }
        }
        ends.extend([self.fim_padding, self.fim_repository, self.fim_separator]);
        for text in ENDS {
            let id = vocabulary.texts.find(text.as_bytes());
            if let Some(id) = id {
                vocabulary.kinds[id as usize] = Kind::Control;
            }
            ends.push(id);
        }
        for text in VISIBLE {
            if let Some(id) = vocabulary.texts.find(text.as_bytes()) {
                vocabulary.kinds[id as usize] = Kind::UserDefined;
            }
        }
        ends.extend([self.eos, self.eot, self.eom]);
        let mut ends: Vec<u32> = ends.into_iter().flatten().collect();
        ends.sort_unstable();
        ends.dedup();
        keep_going(&mut ends, vocabulary);
        Ok(ends)
    }
}

/// Takes out what ends only a part of an answer in vocabularies of a certain kind.
fn keep_going(ends: &mut Vec<u32>, vocabulary: &mut Vocabulary) {
    let end = |text: &str| {
        let id = vocabulary.texts.find(text.as_bytes())?;
        ends.contains(&id).then_some(id)
    };
    // Harmony: `<|end|>` closes a message; the answer ends with `<|return|>` or `<|call|>`.
    let call = end("<|call|>").or(end("<|calls|>"));
    let harmony = call.is_some() && (end("<|return|>").is_some() || end("<|flush|>").is_some());
    let message_end = end("<|end|>").filter(|_| harmony);
    // Gemma 4 and PLaMo: `</s>` is ordinary text.
    let ordinary = end("<|tool_response>").or(end("<|plamo:eos|>"));
    let strike = end("</s>").filter(|_| ordinary.is_some());
    if let Some(id) = message_end {
        vocabulary.kinds[id as usize] = Kind::UserDefined;
    }
    if let Some(id) = strike {
        vocabulary.kinds[id as usize] = Kind::Normal;
    }
    ends.retain(|id| Some(*id) != message_end && Some(*id) != strike);
}
