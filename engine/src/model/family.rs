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
    /// The same, in some of the models.
    PerHeadIfThere,
    /// All heads of a token together.
    WholeRow,
    /// Each head by itself with its own weights, in some of the models.
    OwnWeights,
}

/// How the scores of experts become their parts of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Routing {
    /// Softmax over all experts.
    Softmax,
    /// The sigmoid of each.
    Sigmoid,
}

/// Which layers turn queries and keys by their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotated {
    /// All.
    All,
    /// Those with a window, in models that have windows.
    Windowed,
    /// All but every so many-th.
    AllBut(usize),
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
    /// The same, but the first of every `period` layers is the one without.
    FirstFull { period: usize },
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
    /// The first layer's attention may read the stream as it is.
    pub may_start_bare: bool,
    /// Embeddings of tokens are normalised.
    pub embedding_norm: bool,
    /// Without that tensor, attention and feed-forward block read the same normalised input.
    pub may_be_parallel: bool,
    /// `None`: positions are learned vectors.
    pub rope: Option<RopeStyle>,
    pub rotated: Rotated,
    pub windows: Windows,
    /// Windows reach as far forward as back, half their length each.
    pub windows_centred: bool,
    pub window_rope: WindowRope,
    pub head_norm: HeadNorm,
    /// Queries and keys are normalised after they have been turned, not before.
    pub head_norm_after_rope: bool,
    /// Keys and values are made from one short vector per token (DeepSeek's latent attention).
    pub latent: bool,
    /// Attention has a score per head that stands for no token.
    pub sinks: bool,
    pub activation: Activation,
    pub gated: bool,
    pub routing: Routing,
    /// The parts of the chosen experts are raised to a sum of one.
    pub sum_to_one: bool,
    /// Every model of the family has experts.
    pub always_experts: bool,
    /// Every model of the family that has experts has one that every token uses.
    pub always_shared: bool,
    /// The output of shared experts is multiplied by a gate of its own.
    pub shared_gate: bool,
    /// Embeddings are multiplied by the root of their length.
    pub embedding_by_root: bool,
    /// Number of layers of the one model that scales queries by the length of its embeddings over
    /// its heads, and not by the length of a head.
    pub scale_by_embedding: Option<usize>,
    pub soft_cap_scores: bool,
    /// The scales of embeddings, residuals and logits in files that do not name them, by the length
    /// of embeddings and the number of layers.
    pub default_scales: Option<fn(usize, usize) -> [f32; 3]>,
    /// Logits are multiplied by the file's factor; elsewhere they are divided by it.
    pub logits_multiplied: bool,
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
    may_start_bare: false,
    embedding_norm: false,
    may_be_parallel: false,
    rope: Some(RopeStyle::Neighbours),
    rotated: Rotated::All,
    windows: Windows::Never,
    windows_centred: false,
    window_rope: WindowRope::Same,
    head_norm: HeadNorm::None,
    head_norm_after_rope: false,
    latent: false,
    sinks: false,
    activation: Activation::Silu,
    gated: true,
    routing: Routing::Softmax,
    sum_to_one: true,
    always_experts: false,
    always_shared: false,
    shared_gate: false,
    embedding_by_root: false,
    scale_by_embedding: None,
    soft_cap_scores: false,
    default_scales: None,
    logits_multiplied: false,
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

const COHERE: Family = Family {
    name: "command-r",
    norm: NormKind::Layer,
    may_be_parallel: true,
    head_norm: HeadNorm::OwnWeights,
    logits_multiplied: true,
    reads: &["logit_scale"],
    ..LLAMA
};

const GPT2: Family = Family {
    name: "gpt2",
    norm: NormKind::Layer,
    rope: None,
    activation: Activation::Gelu,
    gated: false,
    ..LLAMA
};

/// What files of DeepSeek's kind say of experts.
const ROUTED: &[&str] = &[
    "leading_dense_block_count",
    "expert_shared_count",
    "expert_weights_scale",
    "expert_weights_norm",
    "expert_gating_func",
];

const DOTS: Family = Family {
    name: "dots1",
    head_norm: HeadNorm::PerHead,
    sum_to_one: false,
    always_experts: true,
    reads: ROUTED,
    ..QWEN2
};

const HUNYUAN: Family = Family {
    name: "hunyuan-dense",
    head_norm: HeadNorm::PerHead,
    head_norm_after_rope: true,
    ..QWEN2
};

const GEMMA3: Family = Family {
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
};

const BERT: Family = Family {
    name: "bert",
    norm: NormKind::Layer,
    placement: NormPlacement::AfterSum,
    embedding_norm: true,
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
        sum_to_one: false,
        always_experts: true,
        always_shared: true,
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
    GEMMA3,
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
    // Text only.
    Family {
        name: "qwen2vl",
        ..QWEN2
    },
    Family {
        name: "qwen3vl",
        ..QWEN3
    },
    Family {
        name: "qwen3vlmoe",
        always_experts: true,
        ..QWEN3
    },
    Family {
        name: "mistral3",
        reads: &[
            "attention.temperature_scale",
            "rope.scaling.yarn_beta_fast",
            "rope.scaling.yarn_beta_slow",
            "rope.scaling.yarn_log_multiplier",
        ],
        ..LLAMA
    },
    Family {
        name: "minicpm",
        default_scales: Some(|embedding, layers| {
            [12.0, 1.4 / (layers as f32).sqrt(), 256.0 / embedding as f32]
        }),
        reads: &["embedding_scale", "residual_scale", "logit_scale"],
        ..LLAMA
    },
    Family {
        name: "chatglm",
        ..LLAMA
    },
    Family {
        name: "smollm3",
        rotated: Rotated::AllBut(4),
        ..LLAMA
    },
    Family {
        name: "internlm2",
        ..LLAMA
    },
    Family {
        name: "ernie4_5",
        ..LLAMA
    },
    Family {
        name: "ernie4_5-moe",
        always_experts: true,
        reads: &["leading_dense_block_count", "interleave_moe_layer_step"],
        ..LLAMA
    },
    Family {
        name: "arcee",
        activation: Activation::ReluSquared,
        gated: false,
        ..LLAMA
    },
    Family {
        name: "nemotron",
        norm: NormKind::Layer,
        activation: Activation::ReluSquared,
        gated: false,
        ..QWEN2
    },
    Family {
        name: "seed_oss",
        feed_forward_norm: "post_attention_norm",
        ..QWEN2
    },
    Family {
        name: "exaone",
        ..QWEN2
    },
    Family {
        name: "exaone4",
        placement: NormPlacement::After,
        rotated: Rotated::Windowed,
        windows: Windows::Pattern {
            period: 4,
            distance: None,
        },
        ..QWEN3
    },
    COHERE,
    Family {
        name: "cohere2",
        rotated: Rotated::Windowed,
        windows: Windows::Pattern {
            period: 4,
            distance: None,
        },
        head_norm: HeadNorm::None,
        ..COHERE
    },
    Family {
        name: "glm4",
        placement: NormPlacement::BeforeAndAfter,
        ..LLAMA
    },
    Family {
        name: "glm4moe",
        feed_forward_norm: "post_attention_norm",
        head_norm: HeadNorm::PerHeadIfThere,
        routing: Routing::Sigmoid,
        reads: &[
            "leading_dense_block_count",
            "expert_shared_count",
            "expert_weights_scale",
            "expert_weights_norm",
            "expert_gating_func",
            "nextn_predict_layers",
        ],
        ..DOTS
    },
    DOTS,
    Family {
        name: "bailingmoe2",
        reads: &[
            "leading_dense_block_count",
            "expert_shared_count",
            "expert_weights_scale",
            "expert_weights_norm",
            "expert_gating_func",
            "nextn_predict_layers",
        ],
        ..DOTS
    },
    Family {
        name: "minimax-m2",
        head_norm: HeadNorm::WholeRow,
        routing: Routing::Sigmoid,
        always_experts: true,
        reads: &["expert_gating_func"],
        ..QWEN2
    },
    Family {
        name: "deepseek2",
        rope: Some(RopeStyle::Neighbours),
        head_norm: HeadNorm::None,
        latent: true,
        always_experts: false,
        reads: &[
            "leading_dense_block_count",
            "expert_shared_count",
            "expert_weights_scale",
            "expert_weights_norm",
            "expert_gating_func",
            "attention.temperature_scale",
            "attention.temperature_length",
            "rope.scaling.yarn_log_multiplier",
        ],
        ..DOTS
    },
    Family {
        name: "olmoe",
        head_norm: HeadNorm::WholeRow,
        sum_to_one: false,
        always_experts: true,
        ..QWEN2
    },
    HUNYUAN,
    Family {
        name: "hunyuan-moe",
        always_experts: true,
        always_shared: true,
        ..HUNYUAN
    },
    Family {
        name: "phi2",
        norm: NormKind::Layer,
        may_be_parallel: true,
        activation: Activation::Gelu,
        gated: false,
        ..QWEN2
    },
    GPT2,
    Family {
        name: "starcoder",
        ..GPT2
    },
    BERT,
    Family {
        name: "nomic-bert",
        rope: Some(RopeStyle::Halves),
        activation: Activation::Silu,
        gated: true,
        ..BERT
    },
    Family {
        name: "nomic-bert-moe",
        rope: Some(RopeStyle::Halves),
        sum_to_one: false,
        reads: &["moe_every_n_layers"],
        ..BERT
    },
    Family {
        name: "modern-bert",
        placement: NormPlacement::Before,
        may_start_bare: true,
        rope: Some(RopeStyle::Halves),
        windows: Windows::FirstFull { period: 3 },
        windows_centred: true,
        gated: true,
        reads: &["rope.freq_base_swa"],
        ..BERT
    },
    Family {
        name: "gemma-embedding",
        windows_centred: true,
        scale_by_embedding: None,
        encoder: true,
        ..GEMMA3
    },
];

/// The architectures that can be run, by the names files use.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

pub(super) fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}
