//! The engine's errors as a person is told them.

use aienv_engine::{
    chat,
    convert::ConvertError,
    generate,
    gguf::{self, MetadataError},
    model::ModelError,
    sample::ConstraintError,
    tokenizer,
};

use crate::error::UserError;

impl UserError for gguf::Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "model.open",
            Self::Bad { .. } => "model.file",
            Self::Split { .. } => "model.split",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Open { .. } => Some("name a model file in the GGUF format".to_owned()),
            Self::Bad { .. } | Self::Split { .. } => None,
        }
    }
}

impl UserError for MetadataError {
    fn code(&self) -> &'static str {
        "model.metadata"
    }
}

impl UserError for ModelError {
    fn code(&self) -> &'static str {
        match self {
            Self::Architecture { .. } => "model.architecture",
            Self::Metadata(error) => error.code(),
            Self::Unsupported(_) => "model.unsupported",
            Self::MissingTensor { .. }
            | Self::Shape { .. }
            | Self::Type { .. }
            | Self::UnknownTensors { .. } => "model.tensors",
            Self::Memory { .. } => "model.memory",
            Self::ContextFull { .. } => "model.context-full",
            Self::Batch(_) => "model.batch",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Memory {
                fitting_context: Some(tokens),
                ..
            } => Some(format!(
                "give a smaller `--context` (up to {tokens}), or `--cache q8_0`"
            )),
            Self::MissingTensor { .. } | Self::Shape { .. } | Self::UnknownTensors { .. } => {
                Some("`aienv gguf check FILE` lists what is wrong with it".to_owned())
            }
            _ => None,
        }
    }
}

impl UserError for tokenizer::Error {
    fn code(&self) -> &'static str {
        "model.tokenizer"
    }
}

impl UserError for chat::Error {
    fn code(&self) -> &'static str {
        "model.template"
    }
}

impl UserError for ConstraintError {
    fn code(&self) -> &'static str {
        "model.grammar"
    }
}

impl UserError for generate::Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Model(error) => error.code(),
            Self::Constraint(error) => error.code(),
            Self::EmptyPrompt => "model.prompt-empty",
            Self::PromptTooLong { .. } => "model.prompt-too-long",
            Self::ContextFull { .. } => "model.context-full",
            Self::NoToken => "model.no-token",
            Self::TooShort { .. } => "model.text-too-short",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.hint(),
            Self::PromptTooLong { .. } => Some("`--context N` sets its size".to_owned()),
            Self::TooShort { .. } => {
                Some("give a longer text, or smaller windows with `--context N`".to_owned())
            }
            _ => None,
        }
    }
}

impl UserError for ConvertError {
    fn code(&self) -> &'static str {
        match self {
            Self::Type(_) => "model.convert-type",
            Self::NoWeights => "model.no-weights",
            Self::NotFinite { .. } => "model.numbers",
            Self::Write(_) => "model.write",
        }
    }

    fn is_usage(&self) -> bool {
        matches!(self, Self::Type(_))
    }
}
