//! What the metadata of a file does not say, because it goes without saying for the architecture.
//!
//! Sources: the papers and reference implementations of the models, and the conventions of the GGUF
//! format as its converters and its reference implementation (llama.cpp) keep them.

use crate::ops::{Activation, NormKind, RopeStyle};

/// Where the normalisations of a layer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlacement {
    /// Before attention and before the feed-forward block.
    Before,
    /// Before both and after both, within the residual branch.
    BeforeAndAfter,
    /// After both, within the residual branch.
    After,
    /// After each has been added to the stream.
    AfterSum,
}

/// Normalisation of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadNorm {
    /// None.
    None,
    /// Each head by itself, all with the same weights.
    PerHead,
    /// All heads of a token together.
    WholeRow,
    /// Each head by itself with its own weights, in some of the models.
    OwnWeights,
}

/// How the experts of a token are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// Softmax over all experts; the chosen ones keep their part.
    SoftmaxAll,
    /// Softmax over all experts; the parts of the chosen ones are raised to a sum of one. The same
    /// as a softmax over the chosen ones.
    SoftmaxChosen,
}

/// Which layers look back over a limited distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    /// None, whatever the metadata says of a window.
    Never,
    /// Where the metadata names a window: all layers but every `period`-th. With a default distance
    /// for models whose files do not name one.
    Pattern {
        period: usize,
        distance: Option<usize>,
    },
}

/// Rotation in layers with a window, next to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowRope {
    /// The same, but for a base of their own if the metadata names one.
    Same,
    /// The same base unless the metadata names one, without context extension.
    Unscaled,
    /// A base of 10 000 unless the metadata names one, without context extension.
    Local,
}

/// An architecture.
#[derive(Debug)]
pub(super) struct Family {
    pub name: &'static str,
    pub norm: NormKind,
    pub placement: NormPlacement,
    /// The tensor that normalises the input of the feed-forward block.
    pub feed_forward_norm: &'static str,
    /// Without that tensor, attention and feed-forward block read the same normalised input.
    pub may_be_parallel: bool,
    /// `None`: positions are learned vectors.
    pub rope: Option<RopeStyle>,
    pub windows: Windows,
    pub window_rope: WindowRope,
    pub head_norm: HeadNorm,
    /// Attention has a score per head that stands for no token.
    pub sinks: bool,
    pub activation: Activation,
    pub gated: bool,
    pub routing: Routing,
    /// Every model of the family has experts.
    pub always_experts: bool,
    /// The output of shared experts is multiplied by a gate of its own.
    pub shared_gate: bool,
    /// Embeddings are multiplied by the root of their length.
    pub embedding_by_root: bool,
    /// Number of layers of the one model that scales queries by the length of its embeddings over
    /// its heads, and not by the length of a head.
    pub scale_by_embedding: Option<usize>,
    pub soft_cap_scores: bool,
    /// `finetuned = false` of the rope scaling turns rotation off.
    pub rope_switch: bool,
    /// No cache, no logits: every token sees every other, and the result is vectors.
    pub encoder: bool,
    /// Keys that mean something in files of some architectures only. In others they are passed
    /// over, as the reference implementation does: some converters write what no model has.
    pub reads: &'static [&'static str],
}

/// What vectors and scores are multiplied by.
const SCALES: &[&str] = &[
    "attention.scale",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
];

const LLAMA: Family = Family {
    name: "llama",
    norm: NormKind::Rms,
    placement: NormPlacement::Before,
    feed_forward_norm: "ffn_norm",
    may_be_parallel: false,
    rope: Some(RopeStyle::Neighbours),
    windows: Windows::Never,
    window_rope: WindowRope::Same,
    head_norm: HeadNorm::None,
    sinks: false,
    activation: Activation::Silu,
    gated: true,
    routing: Routing::SoftmaxChosen,
    always_experts: false,
    shared_gate: false,
    embedding_by_root: false,
    scale_by_embedding: None,
    soft_cap_scores: false,
    rope_switch: false,
    encoder: false,
    reads: &[],
};

const QWEN2: Family = Family {
    name: "qwen2",
    rope: Some(RopeStyle::Halves),
    ..LLAMA
};

const QWEN3: Family = Family {
    name: "qwen3",
    head_norm: HeadNorm::PerHead,
    ..QWEN2
};

const GEMMA: Family = Family {
    name: "gemma",
    activation: Activation::Gelu,
    embedding_by_root: true,
    ..QWEN2
};

const GRANITE: Family = Family {
    name: "granite",
    rope_switch: true,
    reads: SCALES,
    ..LLAMA
};

const BERT: Family = Family {
    name: "bert",
    norm: NormKind::Layer,
    placement: NormPlacement::AfterSum,
    rope: None,
    activation: Activation::Gelu,
    gated: false,
    encoder: true,
    ..LLAMA
};

const FAMILIES: &[Family] = &[
    LLAMA,
    QWEN2,
    Family {
        name: "qwen2moe",
        routing: Routing::SoftmaxAll,
        always_experts: true,
        shared_gate: true,
        ..QWEN2
    },
    QWEN3,
    Family {
        name: "qwen3moe",
        always_experts: true,
        ..QWEN3
    },
    GEMMA,
    Family {
        name: "gemma2",
        placement: NormPlacement::BeforeAndAfter,
        windows: Windows::Pattern {
            period: 2,
            distance: Some(4096),
        },
        soft_cap_scores: true,
        scale_by_embedding: Some(46),
        reads: &[
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "rope.freq_base_swa",
        ],
        ..GEMMA
    },
    Family {
        name: "gemma3",
        placement: NormPlacement::BeforeAndAfter,
        windows: Windows::Pattern {
            period: 6,
            distance: None,
        },
        window_rope: WindowRope::Local,
        head_norm: HeadNorm::PerHead,
        scale_by_embedding: Some(62),
        reads: &["final_logit_softcapping", "rope.freq_base_swa"],
        ..GEMMA
    },
    // Its files name a window, but older converters wrote a wrong one; it is passed over, as by the
    // reference implementation.
    Family {
        name: "phi3",
        ..QWEN2
    },
    GRANITE,
    Family {
        name: "granitemoe",
        rope_switch: false,
        always_experts: true,
        ..GRANITE
    },
    Family {
        name: "olmo2",
        placement: NormPlacement::After,
        windows: Windows::Pattern {
            period: 4,
            distance: None,
        },
        window_rope: WindowRope::Unscaled,
        head_norm: HeadNorm::WholeRow,
        ..QWEN2
    },
    Family {
        name: "stablelm",
        norm: NormKind::Layer,
        may_be_parallel: true,
        head_norm: HeadNorm::OwnWeights,
        ..QWEN2
    },
    Family {
        name: "starcoder2",
        norm: NormKind::Layer,
        activation: Activation::Gelu,
        gated: false,
        ..QWEN2
    },
    Family {
        name: "gpt-oss",
        feed_forward_norm: "post_attention_norm",
        windows: Windows::Pattern {
            period: 2,
            distance: None,
        },
        sinks: true,
        activation: Activation::SwigluOai,
        always_experts: true,
        reads: &["rope.freq_base_swa"],
        ..QWEN2
    },
    BERT,
    Family {
        name: "nomic-bert",
        rope: Some(RopeStyle::Halves),
        activation: Activation::Silu,
        gated: true,
        ..BERT
    },
];

/// The architectures that can be run, by the names files use.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

pub(super) fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}
