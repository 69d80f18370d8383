"""Tiny models of every architecture, with the results of an implementation that is not ours.

Weights are random. Each model is written as GGUF and, with the very same numbers, put into the
`transformers` class of its architecture, whose results (PyTorch, on the processor) are stored in
the file's metadata: `test.tokens`, the size of the context (`test.context`) and `test.expected`,
one row per token: logits, or the last vectors of an encoder. `main.rs` compares.

Needed: `pip install gguf torch transformers`. From the folder `engine`:

    python tests/architectures/make.py
    python tests/architectures/relatives.py

The second makes the models of architectures that differ from others in a few parts. With names
behind them they make those models only.
"""

import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers as hf
from gguf import GGMLQuantizationType as Type
from gguf import quants

OUT = pathlib.Path(__file__).parent.parent / "data" / "architectures"
VOCAB, WIDTH, INNER, HEAD, HEADS, KV_HEADS, LAYERS = 48, 32, 64, 16, 4, 2, 2
EXPERTS, USED, EXPERT_INNER, SHARED_INNER = 4, 2, 32, 64
CONTEXT, WINDOW, TOKENS, EPSILON = 64, 8, 24, 1e-5


class Weights:
    """Random tensors by their names in the file, rounded to the type they are stored as."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.tensors = {}

    def matrix(self, name, *shape, ty=Type.Q4_0):
        values = self.random.normal(0, 1.3 / shape[-1] ** 0.5, shape).astype(np.float32)
        ty = ty if shape[-1] % 32 == 0 else Type.F32
        data = quants.quantize(values, ty)
        self.tensors[name] = (data, ty)
        return quants.dequantize(data, ty).reshape(shape)

    def vector(self, name, *shape, mean=0.0, spread=0.2):
        values = self.random.normal(mean, spread, shape).astype(np.float32)
        self.tensors[name] = (values, Type.F32)
        return values

    def given(self, name, values):
        self.tensors[name] = (np.asarray(values, dtype=np.float32), Type.F32)


def halves(rows, heads):
    """Rows in the order of files that rotate neighbours, in the order of code that rotates halves."""
    grouped = rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1)
    return grouped.transpose(0, 2, 1, 3).reshape(rows.shape)


class Case:
    """What one architecture has, in the terms of the file."""

    def __init__(self, arch, name=None, **traits):
        self.arch, self.name = arch, name or arch
        self.head, self.inner, self.layers = HEAD, INNER, LAYERS
        self.neighbours = self.qkv_bias = self.output_bias = self.tied = False
        self.norm_bias = self.fused = self.experts = self.parallel = False
        self.norms = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
        self.norm_shift, self.head_norm, self.gated = 0.0, None, True
        self.epsilon = "attention.layer_norm_rms_epsilon"
        self.keys, self.context, self.extra = {}, CONTEXT, {}
        # Layers without experts, and what is beside the experts of the others, by their names there.
        self.dense_layers, self.router_bias, self.shared = 0, None, None
        self.without_gate, self.renamed = ("c_fc", "c_proj", True), {}
        self.split = self.merged = False
        for key, value in traits.items():
            assert hasattr(self, key), key
            setattr(self, key, value)
        self.weights = Weights(sum(self.name.encode()))
        self.state = {}

    def norm(self, name, target, *shape, bias=False):
        weight = self.weights.vector(f"{name}.weight", *shape, mean=1.0)
        self.state[f"{target}.weight"] = weight - self.norm_shift
        if bias:
            self.state[f"{target}.bias"] = self.weights.vector(f"{name}.bias", *shape)

    def linear(self, name, target, rows, columns, bias=False, turned=0, ty=Type.Q4_0):
        weight = self.weights.matrix(f"{name}.weight", rows, columns, ty=ty)
        self.state[f"{target}.weight"] = halves(weight, turned) if turned else weight
        if bias:
            bias = self.weights.vector(f"{name}.bias", rows)
            self.state[f"{target}.bias"] = halves(bias, turned) if turned else bias

    def attention(self, file, there):
        queries, keys = HEADS * self.head, KV_HEADS * self.head
        if self.fused:
            self.linear(f"{file}.attn_qkv", f"{there}.qkv_proj", queries + 2 * keys, WIDTH)
        else:
            for letter, rows, heads in (("q", queries, HEADS), ("k", keys, KV_HEADS), ("v", keys, 0)):
                turned = heads if self.neighbours else 0
                name = f"{there}.{letter}_proj"
                self.linear(f"{file}.attn_{letter}", name, rows, WIDTH, self.qkv_bias, turned)
        self.linear(f"{file}.attn_output", f"{there}.o_proj", WIDTH, queries, self.output_bias)
        if self.head_norm == "head":
            for letter in "qk":
                self.norm(f"{file}.attn_{letter}_norm", f"{there}.{letter}_norm", self.head)
        if self.head_norm == "row":
            self.norm(f"{file}.attn_q_norm", f"{there}.q_norm", queries)
            self.norm(f"{file}.attn_k_norm", f"{there}.k_norm", keys)
        if self.head_norm == "own":
            for letter, heads in (("q", HEADS), ("k", KV_HEADS)):
                name = f"{file}.attn_{letter}_norm.weight"
                for i, row in enumerate(self.weights.vector(name, heads, self.head, mean=1.0)):
                    self.state[f"{there}.{letter}_layernorm.norms.{i}.weight"] = row
        if self.arch == "gpt-oss":
            self.state[f"{there}.sinks"] = self.weights.vector(f"{file}.attn_sinks.weight", HEADS)

    def dense(self, file, there, suffix="", inner=None):
        inner = inner or self.inner
        if self.fused:
            self.linear(f"{file}.ffn_up", f"{there}.gate_up_proj", 2 * inner, WIDTH)
            self.linear(f"{file}.ffn_down", f"{there}.down_proj", WIDTH, inner)
            return
        if not self.gated:
            up, down, bias = self.without_gate
            self.linear(f"{file}.ffn_up", f"{there}.{up}", inner, WIDTH, bias)
            self.linear(f"{file}.ffn_down", f"{there}.{down}", WIDTH, inner, bias)
            return
        self.linear(f"{file}.ffn_gate{suffix}", f"{there}.gate_proj", inner, WIDTH)
        self.linear(f"{file}.ffn_up{suffix}", f"{there}.up_proj", inner, WIDTH)
        self.linear(f"{file}.ffn_down{suffix}", f"{there}.down_proj", WIDTH, inner)

    def expert_weights(self, file, there, router):
        oss = self.arch == "gpt-oss"
        router = f"{there}.{router}"
        self.linear(f"{file}.ffn_gate_inp", router, EXPERTS, WIDTH, oss, ty=Type.F32)
        ty = Type.MXFP4 if oss else Type.Q4_0
        sides = [
            self.weights.matrix(f"{file}.ffn_{part}_exps.weight", EXPERTS, EXPERT_INNER, WIDTH, ty=ty)
            for part in ("gate", "up")
        ]
        down = self.weights.matrix(
            f"{file}.ffn_down_exps.weight", EXPERTS, WIDTH, EXPERT_INNER, ty=ty
        )
        if self.merged:
            both = np.concatenate([self.weights.tensors.pop(f"{file}.ffn_{part}_exps.weight")[0]
                                   for part in ("gate", "up")], axis=1)
            self.weights.tensors[f"{file}.ffn_gate_up_exps.weight"] = (both, ty)
        if self.split:
            # As in old files: a tensor for each expert.
            for part in ("gate", "up", "down"):
                data, ty = self.weights.tensors.pop(f"{file}.ffn_{part}_exps.weight")
                for i, expert in enumerate(data):
                    self.weights.tensors[f"{file}.ffn_{part}.{i}.weight"] = (expert, ty)
        if not oss:
            self.state[f"{there}.experts.gate_up_proj"] = np.concatenate(sides, axis=1)
            self.state[f"{there}.experts.down_proj"] = down
            return
        # Gate and up alternate there, and matrices are the other way round.
        both = np.stack(sides, axis=2).reshape(EXPERTS, 2 * EXPERT_INNER, WIDTH)
        self.state[f"{there}.experts.gate_up_proj"] = both.transpose(0, 2, 1)
        self.state[f"{there}.experts.down_proj"] = down.transpose(0, 2, 1)
        sides = [
            self.weights.vector(f"{file}.ffn_{part}_exps.bias", EXPERTS, EXPERT_INNER)
            for part in ("gate", "up")
        ]
        both = np.stack(sides, axis=2).reshape(EXPERTS, 2 * EXPERT_INNER)
        self.state[f"{there}.experts.gate_up_proj_bias"] = both
        bias = self.weights.vector(f"{file}.ffn_down_exps.bias", EXPERTS, WIDTH)
        self.state[f"{there}.experts.down_proj_bias"] = bias

    def layer(self, i):
        file, there = f"blk.{i}", f"model.layers.{i}"
        for name, target in self.norms.items():
            self.norm(f"{file}.{name}", f"{there}.{target}", WIDTH, bias=self.norm_bias)
        self.attention(file, f"{there}.self_attn")
        if not self.experts or i < self.dense_layers:
            self.dense(file, f"{there}.mlp")
            return
        if self.arch == "granitemoe":
            self.expert_weights(file, f"{there}.block_sparse_moe", "router")
            self.dense(file, "shared", "_shexp", SHARED_INNER)
            sides = [self.state.pop(f"shared.{side}_proj.weight") for side in ("gate", "up")]
            self.state[f"{there}.shared_mlp.input_linear.weight"] = np.concatenate(sides)
            down = self.state.pop("shared.down_proj.weight")
            self.state[f"{there}.shared_mlp.output_linear.weight"] = down
        else:
            router = "router" if self.arch == "gpt-oss" else "gate"
            self.expert_weights(file, f"{there}.mlp", router)
        if self.router_bias:
            bias = self.weights.vector(f"{file}.exp_probs_b.bias", EXPERTS)
            self.state[f"{there}.mlp.{self.router_bias}"] = bias
        if self.shared:
            self.dense(file, f"{there}.mlp.{self.shared}", "_shexp", SHARED_INNER)
        if self.arch == "qwen2moe":
            self.dense(file, f"{there}.mlp.shared_expert", "_shexp", SHARED_INNER)
            gate = self.weights.vector(f"{file}.ffn_gate_inp_shexp.weight", WIDTH)
            self.state[f"{there}.mlp.shared_expert_gate.weight"] = gate.reshape(1, WIDTH)

    def decoder(self):
        tokens = self.weights.matrix("token_embd.weight", VOCAB, WIDTH)
        self.state["model.embed_tokens.weight"] = tokens
        for i in range(self.layers):
            self.layer(i)
        self.norm("output_norm", "model.norm", WIDTH, bias=self.norm_bias)
        if self.tied:
            self.state["lm_head.weight"] = tokens
        else:
            self.linear("output", "lm_head", VOCAB, WIDTH)

    def write(self, model):
        """Puts the weights into `model`, and file and results on disk."""
        state = {}
        for key, values in self.state.items():
            for old, new in self.renamed.items():
                key = key.replace(old, new)
            state[key] = torch.tensor(np.ascontiguousarray(values))
        if sys.argv[1:] and self.name not in sys.argv[1:]:
            return
        model.load_state_dict(state, strict=True)
        model = model.float().eval()
        tokens = Weights(7).random.integers(0, VOCAB, TOKENS)
        with torch.no_grad():
            result = model(torch.tensor(tokens)[None])
        rows = (result.logits if "logits" in result else result[0])[0].numpy()
        writer = gguf.GGUFWriter(OUT / f"{self.name}.gguf", self.arch)
        keys = {
            "vocab_size": VOCAB,
            "context_length": CONTEXT,
            "embedding_length": WIDTH,
            "block_count": self.layers,
            "feed_forward_length": self.inner,
            "attention.head_count": HEADS,
            "attention.head_count_kv": KV_HEADS,
            "attention.key_length": self.head,
            "attention.value_length": self.head,
            self.epsilon: EPSILON,
        }
        if self.experts:
            keys |= {
                "expert_count": EXPERTS,
                "expert_used_count": USED,
                "expert_feed_forward_length": EXPERT_INNER,
            }
        for key, value in (keys | self.keys).items():
            key = key if key.startswith("tokenizer") else f"{self.arch}.{key}"
            if isinstance(value, bool):
                writer.add_bool(key, value)
            elif isinstance(value, int):
                writer.add_uint32(key, value)
            elif isinstance(value, float):
                writer.add_float32(key, value)
            elif isinstance(value, str):
                writer.add_string(key, value)
            else:
                writer.add_array(key, value)
        writer.add_uint32("test.context", self.context)
        writer.add_array("test.tokens", [int(t) for t in tokens])
        writer.add_array("test.expected", [float(v) for v in rows.flatten()])
        for name, (data, ty) in self.weights.tensors.items():
            writer.add_tensor(name, data, raw_dtype=ty)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(f"{self.name:16} {(OUT / f'{self.name}.gguf').stat().st_size:8} bytes")


BASE = dict(
    vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS,
    num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=CONTEXT,
    bos_token_id=0, eos_token_id=0, pad_token_id=0, attn_implementation="eager",
)
RMS = BASE | dict(rms_norm_eps=EPSILON, head_dim=HEAD)
MOE = dict(num_experts=EXPERTS, num_experts_per_tok=USED, moe_intermediate_size=EXPERT_INNER)
LAYER_NORM = dict(epsilon="attention.layer_norm_epsilon", norm_bias=True, head=WIDTH // HEADS)
GEMMA_NORMS = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
OLMO_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **more))


def make(case, cls, **config):
    case.decoder()
    model = getattr(hf, f"{cls}ForCausalLM")
    config = model.config_class(**config)
    config.tie_word_embeddings = case.tied
    case.write(model(config))


def llama():
    scaling = dict(
        factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
    )
    case = Case("llama", neighbours=True, keys={"rope.freq_base": 5000.0})
    config = RMS | rope("llama3", 5000.0, **scaling)
    plain = hf.LlamaConfig(**(RMS | rope(theta=5000.0)))
    rotary = hf.models.llama.modeling_llama.LlamaRotaryEmbedding
    slow, fast = rotary(hf.LlamaConfig(**config)).inv_freq, rotary(plain).inv_freq
    case.weights.given("rope_freqs.weight", (fast / slow).numpy())
    make(case, "Llama", **config)

    linear = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    case = Case("llama", "llama-linear", neighbours=True, keys=linear, tied=True, qkv_bias=True,
                output_bias=True)
    make(case, "Llama", attention_bias=True, **RMS, **rope("linear", factor=4.0))

    yarn = dict(factor=4.0, original_max_position_embeddings=16, beta_fast=8.0, beta_slow=1.0)
    keys = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 16,
        "rope.scaling.yarn_beta_fast": 8.0,
    }
    case = Case("llama", "llama-q8-cache", neighbours=True, head=32)
    make(case, "Llama", **(RMS | dict(head_dim=32)), **rope())

    make(Case("llama", "llama-yarn", neighbours=True, keys=keys), "Llama", **RMS,
         **rope("yarn", **yarn))

    case = Case("llama", "mixtral", neighbours=True, experts=True, inner=EXPERT_INNER)
    config = RMS | dict(intermediate_size=EXPERT_INNER, num_local_experts=EXPERTS)
    make(case, "Mixtral", num_experts_per_tok=USED, sliding_window=None, **config, **rope())
    case = Case("llama", "mixtral-split", neighbours=True, experts=True, inner=EXPERT_INNER, split=True)
    make(case, "Mixtral", num_experts_per_tok=USED, sliding_window=None, **config, **rope())


def qwen():
    make(Case("qwen2", qkv_bias=True, head=8), "Qwen2", **(RMS | dict(head_dim=8)), **rope())
    make(Case("qwen3", head_norm="head", tied=True), "Qwen3", **RMS, **rope())
    case = Case("qwen2moe", qkv_bias=True, head=8, experts=True,
                keys={"expert_shared_feed_forward_length": SHARED_INNER})
    make(case, "Qwen2Moe", shared_expert_intermediate_size=SHARED_INNER, norm_topk_prob=False,
         **BASE, **MOE, **rope(), rms_norm_eps=EPSILON)
    for name, merged in (("qwen3moe", False), ("qwen3moe-merged", True)):
        make(Case("qwen3moe", name, head_norm="head", experts=True, merged=merged), "Qwen3Moe",
             norm_topk_prob=True, **RMS, **MOE, **rope())


def gemma():
    make(Case("gemma", norm_shift=1.0, tied=True), "Gemma", hidden_activation="gelu_pytorch_tanh",
         **RMS, **rope())
    case = Case("gemma2", norm_shift=1.0, tied=True, norms=GEMMA_NORMS, keys={
        "attention.sliding_window": WINDOW,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    })
    make(case, "Gemma2", query_pre_attn_scalar=HEAD, sliding_window=WINDOW,
         attn_logit_softcapping=2.0, final_logit_softcapping=3.0, **RMS, **rope())
    case = Case("gemma3", norm_shift=1.0, tied=True, norms=GEMMA_NORMS, head_norm="head", layers=3,
                keys={
                    "attention.sliding_window": WINDOW,
                    "attention.sliding_window_pattern": [True, False, True],
                    "rope.freq_base": 1e6,
                    "rope.scaling.type": "linear",
                    "rope.scaling.factor": 8.0,
                })
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    config = RMS | dict(num_hidden_layers=3, layer_types=kinds, rope_parameters={
        "full_attention": dict(rope_type="linear", factor=8.0, rope_theta=1e6),
        "sliding_attention": dict(rope_type="default", rope_theta=1e4),
    })
    make(case, "Gemma3", query_pre_attn_scalar=HEAD, sliding_window=WINDOW, **config)


def phi():
    factors = {
        "short": [1.0 + 0.05 * i for i in range(4)],
        "long": [1.5 + 0.9 * i for i in range(4)],
    }
    # The long factors are for contexts beyond the trained one.
    for name, original, context in (("phi3", 32, 32), ("phi3-long", 16, 64)):
        grown = float(np.sqrt(1 + np.log(CONTEXT / original) / np.log(original)))
        case = Case("phi3", name, fused=True, head=8, context=context, keys={
            "rope.scaling.original_context_length": original,
            "rope.scaling.attn_factor": grown,
            "attention.sliding_window": 4,
        })
        for kind, values in factors.items():
            case.weights.given(f"rope_factors_{kind}.weight", values)
        scaling = rope("longrope", short_factor=factors["short"], long_factor=factors["long"],
                       factor=CONTEXT / original, original_max_position_embeddings=original)
        make(case, "Phi3", rms_norm_eps=EPSILON, original_max_position_embeddings=original,
             sliding_window=None, **BASE, **scaling)


def granite():
    keys = {
        "attention.scale": 0.2,
        "embedding_scale": 6.0,
        "residual_scale": 0.4,
        "logit_scale": 3.0,
    }
    scales = dict(attention_multiplier=0.2, embedding_multiplier=6.0, residual_multiplier=0.4,
                  logits_scaling=3.0, rms_norm_eps=EPSILON)
    make(Case("granite", neighbours=True, tied=True, head=8, keys=keys), "Granite",
         **BASE, **scales, **rope())
    shared = {"expert_shared_feed_forward_length": SHARED_INNER}
    case = Case("granitemoe", neighbours=True, experts=True, head=8, inner=EXPERT_INNER,
                keys=keys | shared)
    config = BASE | scales | dict(intermediate_size=EXPERT_INNER)
    make(case, "GraniteMoeShared", num_local_experts=EXPERTS, num_experts_per_tok=USED,
         shared_intermediate_size=SHARED_INNER, **config, **rope())


def olmo():
    make(Case("olmo2", norms=OLMO_NORMS, head_norm="row", head=8), "Olmo2", rms_norm_eps=EPSILON,
         **BASE, **rope())
    case = Case("olmo2", "olmo3", norms=OLMO_NORMS, head_norm="row", head=8, layers=4, keys={
        "attention.sliding_window": WINDOW,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 16,
        "rope.scaling.yarn_beta_fast": 8.0,
    })
    yarn = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16,
                beta_fast=8.0, beta_slow=1.0)
    config = BASE | dict(num_hidden_layers=4, rope_parameters={
        "full_attention": yarn,
        "sliding_attention": dict(rope_type="default", rope_theta=1e4),
    })
    make(case, "Olmo3", rms_norm_eps=EPSILON, sliding_window=WINDOW, **config)


def others():
    config = BASE | dict(num_hidden_layers=LAYERS, layer_norm_eps=EPSILON,
                         **rope(partial_rotary_factor=0.5))
    case = Case("stablelm", qkv_bias=True, keys={"rope.dimension_count": 4}, **LAYER_NORM)
    make(case, "StableLm", use_qkv_bias=True, **config)
    alone = LAYER_NORM | dict(norms={"attn_norm": "input_layernorm"})
    case = Case("stablelm", "stablelm-12b", head_norm="own", keys={"rope.dimension_count": 4},
                **alone)
    make(case, "StableLm", use_parallel_residual=True, qk_layernorm=True, **config)

    case = Case("starcoder2", gated=False, qkv_bias=True, output_bias=True, tied=True, **LAYER_NORM)
    make(case, "Starcoder2", norm_epsilon=EPSILON, use_bias=True, sliding_window=None,
         hidden_act="gelu_pytorch_tanh", **BASE, **rope())

    case = Case("gpt-oss", experts=True, qkv_bias=True, output_bias=True, inner=EXPERT_INNER, norms={
        "attn_norm": "input_layernorm",
        "post_attention_norm": "post_attention_layernorm",
    }, keys={
        "attention.sliding_window": WINDOW,
        "rope.freq_base": 150000.0,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 16,
        "rope.scaling.yarn_beta_fast": 8.0,
    })
    # Files do not say whether the ends of the ramp are whole pairs; they are taken as such.
    yarn = rope("yarn", 150000.0, factor=4.0, original_max_position_embeddings=16, beta_fast=8.0,
                beta_slow=1.0, truncate=True)
    config = RMS | dict(intermediate_size=EXPERT_INNER, num_local_experts=EXPERTS)
    make(case, "GptOss", num_experts_per_tok=USED, sliding_window=WINDOW, **config, **yarn)


def encoder(arch, inner, attention, output_norm, layer_norm):
    """BERT and its kin: names differ, the parts are the same."""
    case = Case(arch, head=WIDTH // HEADS, epsilon="attention.layer_norm_epsilon", keys={
        "attention.head_count_kv": HEADS,
        "attention.causal": False,
        "tokenizer.ggml.token_type_count": 2,
        "pooling_type": 1,
    })
    bias, embeddings = arch == "bert", "embeddings"
    vectors = [("token_embd", "word", VOCAB), ("token_types", "token_type", 2)]
    if arch == "bert":
        vectors.append(("position_embd", "position", CONTEXT))
    for name, target, rows in vectors:
        case.linear(name, f"{embeddings}.{target}_embeddings", rows, WIDTH)
    case.norm("token_embd_norm", f"{embeddings}.LayerNorm", WIDTH, bias=True)
    for i in range(LAYERS):
        file = f"blk.{i}"
        for letter, name in zip("qkv", attention):
            case.linear(f"{file}.attn_{letter}", name % i, WIDTH, WIDTH, bias)
        case.linear(f"{file}.attn_output", attention[3] % i, WIDTH, WIDTH, bias)
        for part, name in inner.items():
            shape = (WIDTH, INNER) if part == "down" else (INNER, WIDTH)
            case.linear(f"{file}.ffn_{part}", name % i, *shape, bias)
        case.norm(f"{file}.attn_output_norm", output_norm % i, WIDTH, bias=True)
        case.norm(f"{file}.layer_output_norm", layer_norm % i, WIDTH, bias=True)
    return case


def encoders():
    config = {k: v for k, v in BASE.items() if k != "num_key_value_heads"}
    at = "encoder.layer.%d."
    names = [at + f"attention.self.{part}" for part in ("query", "key", "value")]
    case = encoder("bert", {"up": at + "intermediate.dense", "down": at + "output.dense"},
                   [*names, at + "attention.output.dense"], at + "attention.output.LayerNorm",
                   at + "output.LayerNorm")
    # Models in this format are run with the tanh form of the function.
    config |= dict(layer_norm_eps=EPSILON)
    model = hf.BertModel(hf.BertConfig(hidden_act="gelu_pytorch_tanh", **config),
                         add_pooling_layer=False)
    case.write(model)

    at = "layers.%d."
    names = [at + f"self_attn.{letter}_proj" for letter in "qkvo"]
    inner = {part: at + f"mlp.{part}_proj" for part in ("gate", "up", "down")}
    case = encoder("nomic-bert", inner, names, at + "post_attention_layernorm",
                   at + "post_mlp_layernorm")
    case.keys["rope.freq_base"] = 1000.0
    case.write(hf.NomicBertModel(hf.NomicBertConfig(**config, **rope(theta=1000.0)),
                                 add_pooling_layer=False))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for make_some in (llama, qwen, gemma, phi, granite, olmo, others, encoders):
        make_some()
