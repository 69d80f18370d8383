"""Random models of the architectures in the forms they have in the wild, for `logits_reference.py`.

A model is an architecture, keys of its metadata and the tensors it has. Their shapes follow from the
model's sizes. Everything is F32, so that nothing is rounded on the way.
"""

import gguf
import numpy

VOCAB = 56
SIZES = dict(layers=2, width=32, heads=4, kv=2, key=16, value=16, inner=64, experts=0, used=2, expert=32, shared=48)
# Tensors of a layer by their names; N stands for those that are no matrices.
NORMS = ["attn_norm", "ffn_norm"]
QKV = ["attn_q", "attn_k", "attn_v", "attn_output"]
FUSED = ["attn_qkv", "attn_output"]
GATED = ["ffn_gate", "ffn_up", "ffn_down"]
PLAIN = ["ffn_up", "ffn_down"]
EXPERTS = ["ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]
SHARED = ["ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"]
AFTER = ["post_attention_norm", "post_ffw_norm"]
LLAMA = NORMS + QKV + GATED


def shape(name, s):
    """A tensor's shape by its name and the sizes of its model, in numpy's order."""
    queries, keys, values = s["heads"] * s["key"], s["kv"] * s["key"], s["kv"] * s["value"]
    known = {
        "attn_q": (queries, s["width"]), "attn_k": (keys, s["width"]), "attn_v": (values, s["width"]),
        "attn_qkv": (queries + keys + values, s["width"]), "attn_output": (s["width"], s["heads"] * s["value"]),
        "attn_q_norm": (s["key"],), "attn_k_norm": (s["key"],), "attn_sinks": (s["heads"],),
        "ffn_gate": (s["inner"], s["width"]), "ffn_up": (s["inner"], s["width"]), "ffn_down": (s["width"], s["inner"]),
        "ffn_gate_inp": (s["experts"], s["width"]), "exp_probs_b": (s["experts"],), "ffn_gate_inp_shexp": (s["width"],),
        "ffn_gate_exps": (s["experts"], s["expert"], s["width"]), "ffn_up_exps": (s["experts"], s["expert"], s["width"]),
        "ffn_down_exps": (s["experts"], s["width"], s["expert"]),
        "ffn_gate_shexp": (s["shared"], s["width"]), "ffn_up_shexp": (s["shared"], s["width"]),
        "ffn_down_shexp": (s["width"], s["shared"]),
        "token_embd": (VOCAB, s["width"]), "output": (VOCAB, s["width"]),
    }
    return known.get(name, (s["width"],))


class Model:
    """What is written into one file."""

    def __init__(self, name, arch, parts=LLAMA, keys=None, biases=(), norm_biases=False, tied=False, more=None,
                 shapes=None, drop=(), layer_norm=False, given=None, per_layer=None, **sizes):
        assert not set(sizes) - set(SIZES), sizes
        self.name, self.arch, self.sizes = name, arch, SIZES | sizes
        self.random = numpy.random.default_rng(sum(name.encode()))
        s, shapes = self.sizes, shapes or {}
        self.keys = {
            "vocab_size": VOCAB, "context_length": 128, "embedding_length": s["width"], "block_count": s["layers"],
            "feed_forward_length": s["inner"], "attention.head_count": s["heads"], "attention.head_count_kv": s["kv"],
            "attention.key_length": s["key"], "attention.value_length": s["value"], "rope.dimension_count": s["key"],
            "attention.layer_norm_epsilon" if layer_norm else "attention.layer_norm_rms_epsilon": 1e-5,
        }
        if s["experts"]:
            self.keys |= {"expert_count": s["experts"], "expert_used_count": s["used"],
                          "expert_feed_forward_length": s["expert"]}
        self.keys |= keys or {}
        self.keys = {key: value for key, value in self.keys.items() if key not in drop}
        self.tensors = {}
        self.add("token_embd.weight", shape("token_embd", s))
        for layer in range(s["layers"]):
            for part in per_layer(layer) if per_layer else parts:
                dims = shapes.get(part) or shape(part, s)
                self.add(f"blk.{layer}.{part}.{'bias' if part == 'exp_probs_b' else 'weight'}", dims)
                if part in biases or (norm_biases and "norm" in part):
                    length = dims[:-1] if len(dims) > 1 else dims
                    self.add(f"blk.{layer}.{part}.bias", length)
        for name, dims in (more or {}).items():
            self.add(name, dims)
        for name, values in (given or {}).items():
            self.tensors[name] = numpy.asarray(values, dtype=numpy.float32)

    def add(self, name, dims):
        if "norm" in name and name.endswith("weight"):
            values = self.random.normal(1.0, 0.2, dims)
        elif len(dims) == 1 or name.endswith("bias"):
            values = self.random.normal(0.0, 0.2, dims)
        else:
            values = self.random.normal(0.0, 1.3 / dims[-1] ** 0.5, dims)
        self.tensors[name] = values.astype(numpy.float32)

    def write(self, path):
        writer = gguf.GGUFWriter(path, self.arch)
        writer.add_tokenizer_model("none")
        for key, value in self.keys.items():
            key = key if key.startswith("tokenizer") else f"{self.arch}.{key}"
            kinds = [(bool, writer.add_bool), (int, writer.add_uint32), (float, writer.add_float32),
                     (str, writer.add_string), (list, writer.add_array)]
            next(add for kind, add in kinds if isinstance(value, kind))(key, value)
        for name, values in self.tensors.items():
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def top(*, output=True, bias=False, norm_bias=False, more=()):
    """Tensors outside layers, but for the embeddings."""
    names = {"output_norm.weight": (SIZES["width"],)}
    if norm_bias:
        names["output_norm.bias"] = (SIZES["width"],)
    if output:
        names["output.weight"] = (VOCAB, SIZES["width"])
    if bias:
        names["output.bias"] = (VOCAB,)
    return names | dict(more)


def scaling(kind, factor, original=None, **more):
    keys = {"rope.scaling.type": kind, "rope.scaling.factor": float(factor)}
    if original:
        keys["rope.scaling.original_context_length"] = original
    return keys | {f"rope.scaling.{key}": value for key, value in more.items()}


def llamas():
    model = lambda name, **more: Model(f"llama-{name}", "llama", **({"more": top()} | more))
    yield model("heads-1", kv=1)
    yield model("heads-8", heads=8, kv=1, key=4, value=4)
    yield model("heads-all", kv=4)
    yield model("tied", more=top(output=False))
    yield model("biases", biases=QKV + GATED)
    yield model("fused", parts=NORMS + FUSED + GATED)
    yield model("no-lengths", key=8, value=8, drop=["attention.key_length", "attention.value_length", "rope.dimension_count"])
    yield model("no-kv-count", kv=4, drop=["attention.head_count_kv"])
    yield model("base", keys={"rope.freq_base": 500000.0})
    yield model("attention-scale", keys={"attention.scale": 0.1})
    yield model("linear", keys=scaling("linear", 4))
    yield model("linear-old", keys={"rope.scale_linear": 4.0})
    yield model("unscaled", keys=scaling("none", 4))
    yield model("yarn", keys=scaling("yarn", 8, 16))
    yield model("yarn-no-original", keys=scaling("yarn", 8))
    yield model("yarn-half", keys=scaling("yarn", 0.5, 16))
    yield model("yarn-attn", keys=scaling("yarn", 8, 16, attn_factor=0.7))
    yield model("yarn-ext", keys=scaling("yarn", 8, 16, yarn_ext_factor=0.5))
    yield model("yarn-ext-0", keys=scaling("yarn", 8, 16, yarn_ext_factor=0.0, yarn_attn_factor=1.3))
    yield model("yarn-attn-factors", keys=scaling("yarn", 8, 16, yarn_attn_factor=1.3))
    yield model("yarn-betas", keys=scaling("yarn", 8, 16, yarn_beta_fast=4.0, yarn_beta_slow=0.5))
    yield model("yarn-log-mul", keys=scaling("yarn", 8, 16, yarn_log_multiplier=0.7))
    factors = {"rope_freqs.weight": [1, 1, 1.5, 2, 4, 8, 8, 8]}
    yield model("rope-freqs", given=factors)
    yield model("rope-freqs-yarn", given=factors, keys=scaling("yarn", 8, 16))
    yield model("rope-freqs-linear", given=factors, keys=scaling("linear", 4))
    both = {"rope_factors_short.weight": [1 + 0.1 * i for i in range(8)],
            "rope_factors_long.weight": [2 + 0.9 * i for i in range(8)]}
    for name, original in (("long", 16), ("short", 512)):
        keys = {"rope.scaling.type": "longrope", "rope.scaling.original_context_length": original,
                "rope.scaling.attn_factor": 1.2}
        yield model(f"longrope-{name}", given=both, keys=keys)
    for used in (1, 3, 4):
        yield model(f"experts-{used}", parts=NORMS + QKV + EXPERTS, experts=4, used=used, expert=64)
    yield model("experts-scaled", parts=NORMS + QKV + EXPERTS, experts=4, expert=64, keys={"expert_weights_scale": 2.5})
    old = [f"ffn_{side}.{expert}" for side in ("gate", "up", "down") for expert in range(4)]
    shapes = {name: ((64, 32) if "down" not in name else (32, 64)) for name in old}
    yield model("experts-split", parts=NORMS + QKV + ["ffn_gate_inp"] + old, shapes=shapes, experts=4, expert=64)
    yield model("window-key", keys={"attention.sliding_window": 8})


def qwens():
    yield Model("qwen2-no-bias", "qwen2", more=top(), key=8, value=8)
    yield Model("qwen2-bias", "qwen2", more=top(), key=8, value=8, biases=QKV[:3])
    yield Model("qwen2-yarn", "qwen2", more=top(), key=8, value=8, biases=QKV[:3], keys=scaling("yarn", 4, 16))
    yield Model("qwen2-output-bias", "qwen2", more=top(bias=True), key=8, value=8)
    norms = ["attn_q_norm", "attn_k_norm"]
    yield Model("qwen3-heads", "qwen3", parts=LLAMA + norms, more=top(output=False), heads=8, kv=1, key=8, value=8)
    yield Model("qwen3-yarn", "qwen3", parts=LLAMA + norms, more=top(), keys=scaling("yarn", 4, 16))
    moe = NORMS + QKV + EXPERTS
    yield Model("qwen2moe-norm", "qwen2moe", parts=moe + SHARED + ["ffn_gate_inp_shexp"], more=top(), experts=4,
                biases=QKV[:3], key=8, value=8, keys={"expert_shared_feed_forward_length": 48})
    yield Model("qwen2moe-old", "qwen2moe", parts=moe + SHARED + ["ffn_gate_inp_shexp"], more=top(), experts=4, used=2,
                biases=QKV[:3], key=8, value=8, shared=64, drop=["expert_feed_forward_length"])
    for used in (1, 3):
        yield Model(f"qwen3moe-{used}", "qwen3moe", parts=moe + norms, more=top(), experts=4, used=used)
    merged = [part for part in moe if part not in ("ffn_gate_exps", "ffn_up_exps")] + ["ffn_gate_up_exps"]
    yield Model("qwen3moe-merged", "qwen3moe", parts=merged + norms, shapes={"ffn_gate_up_exps": (4, 64, 32)},
                more=top(), experts=4)
    yield Model("qwen3moe-scale", "qwen3moe", parts=moe + norms, more=top(), experts=4, keys={"expert_weights_scale": 2.0})


def gemmas():
    norms, heads = NORMS + AFTER, ["attn_q_norm", "attn_k_norm"]
    window = {"attention.sliding_window": 8}
    yield Model("gemma-heads", "gemma", more=top(output=False), kv=1)
    second = norms + QKV + GATED
    caps = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0}
    yield Model("gemma2-layers", "gemma2", parts=second, more=top(output=False), layers=3, keys=window | caps)
    yield Model("gemma2-no-caps", "gemma2", parts=second, more=top(output=False), keys=window)
    yield Model("gemma2-no-window", "gemma2", parts=second, more=top(output=False), keys=caps)
    yield Model("gemma2-27b", "gemma2", parts=second, more=top(output=False), layers=46, keys=window | caps)
    third = second + heads
    yield Model("gemma3-pattern", "gemma3", parts=third, more=top(output=False), layers=7, keys=window)
    yield Model("gemma3-no-window", "gemma3", parts=third, more=top(output=False), layers=7)
    linear = scaling("linear", 8) | {"rope.freq_base": 1e6}
    yield Model("gemma3-linear", "gemma3", parts=third, more=top(output=False), layers=7, keys=window | linear)
    yield Model("gemma3-base", "gemma3", parts=third, more=top(output=False), layers=7,
                keys=window | linear | {"rope.freq_base_swa": 5000.0})
    yield Model("gemma3-number", "gemma3", parts=third, more=top(output=False), layers=7,
                keys=window | {"attention.sliding_window_pattern": 3})
    yield Model("gemma3-27b", "gemma3", parts=third, more=top(output=False), layers=62, keys=window | linear)
    yield Model("gemma3-cap", "gemma3", parts=third, more=top(output=False), layers=7,
                keys=window | {"final_logit_softcapping": 5.0})
    yield Model("gemma3-output", "gemma3", parts=third, more=top(), layers=7, keys=window)


def others():
    yield Model("phi3-split", "phi3", parts=NORMS + QKV + PLAIN, shapes={"ffn_up": (128, 32)}, more=top(), key=8, value=8)
    fused, short = NORMS + FUSED + PLAIN, dict(key=8, value=8)
    up = {"ffn_up": (128, 32)}
    yield Model("phi3-window", "phi3", parts=fused, shapes=up, more=top(), keys={"attention.sliding_window": 8}, **short)
    yield Model("phi3-tied-partial", "phi3", parts=fused, shapes=up, more=top(output=False), keys={"rope.dimension_count": 4}, **short)
    scales = {"attention.scale": 0.2, "embedding_scale": 6.0, "residual_scale": 0.4, "logit_scale": 3.0}
    yield Model("granite-scales", "granite", more=top(output=False), keys=scales)
    yield Model("granite-plain", "granite", more=top(), biases=QKV + GATED, keys={"logit_scale": 1.0})
    moe = NORMS + QKV + EXPERTS
    yield Model("granitemoe-plain", "granitemoe", parts=moe, more=top(), experts=4, expert=64, keys=scales)
    yield Model("granitemoe-shared", "granitemoe", parts=moe + SHARED, more=top(), experts=4, expert=64,
                keys=scales | {"expert_shared_feed_forward_length": 48})
    rows = {"attn_q_norm": (32,), "attn_k_norm": (16,)}
    second = AFTER + QKV + GATED + list(rows)
    yield Model("olmo2-heads", "olmo2", parts=second, shapes=rows, **short, more=top())
    window = {"attention.sliding_window": 8}
    yield Model("olmo2-window", "olmo2", parts=second, shapes=rows, **short, more=top(), layers=5, keys=window)
    yield Model("olmo2-window-yarn", "olmo2", parts=second, shapes=rows, **short, more=top(), layers=5,
                keys=window | scaling("yarn", 8, 16, attn_factor=1.2))
    yield Model("olmo2-array", "olmo2", parts=second, shapes=rows, **short, more=top(), layers=3,
                keys=window | {"attention.sliding_window_pattern": [True, False, True]})
    layer = dict(layer_norm=True, norm_biases=True, key=8, value=8)
    more = top(norm_bias=True)
    yield Model("stablelm-bias", "stablelm", more=more, biases=QKV[:3], keys={"rope.dimension_count": 4}, **layer)
    own = {"attn_q_norm": (4, 8), "attn_k_norm": (2, 8)}
    layer["norm_biases"] = False
    yield Model("stablelm-parallel", "stablelm", parts=["attn_norm"] + QKV + GATED + list(own), shapes=own, more=more,
                keys={"rope.dimension_count": 4, "use_parallel_residual": True}, biases=["attn_norm"], **layer)
    yield Model("stablelm-own", "stablelm", parts=LLAMA + list(own), shapes=own, more=more, biases=NORMS,
                keys={"rope.dimension_count": 4, "use_parallel_residual": False}, **layer)
    yield Model("starcoder2-tied", "starcoder2", parts=NORMS + QKV + PLAIN, more=top(output=False, norm_bias=True),
                biases=QKV + PLAIN + NORMS, **layer)
    yield Model("starcoder2-window", "starcoder2", parts=NORMS + QKV + PLAIN, more=more, biases=QKV + PLAIN + NORMS,
                keys=window, **layer)
    oss = ["attn_norm", "post_attention_norm", "attn_sinks"] + QKV + EXPERTS
    for name, keys in (("window", window), ("yarn", window | scaling("yarn", 32, 16) | {"rope.freq_base": 150000.0})):
        yield Model(f"gpt-oss-{name}", "gpt-oss", parts=oss, more=top(), layers=4, experts=4, keys=keys,
                    biases=QKV + EXPERTS)


def encoder(name, arch, parts, *, more=None, keys=None, **rest):
    start = {"token_embd_norm.weight": (32,), "token_embd_norm.bias": (32,), "token_types.weight": (2, 32)}
    keys = {"attention.causal": False, "tokenizer.ggml.token_type_count": 2, "pooling_type": 1} | (keys or {})
    return Model(name, arch, parts, more=start | (more or {}), keys=keys, kv=4, key=8, value=8, layer_norm=True,
                 norm_biases=True, **rest)


def encoders():
    norms, place = ["attn_output_norm", "layer_output_norm"], {"position_embd.weight": (128, 32)}
    bert = norms + QKV + PLAIN
    yield encoder("bert-biases", "bert", bert, more=place, biases=QKV + PLAIN)
    yield encoder("bert-fused", "bert", norms + FUSED + PLAIN, more=place, biases=FUSED + PLAIN)
    yield encoder("bert-cls", "bert", bert, more=place, biases=QKV + PLAIN, keys={"pooling_type": 2})
    yield encoder("nomic-bert-fused", "nomic-bert", norms + FUSED + GATED, keys={"rope.freq_base": 1000.0})


def families():
    """Architectures that differ from others in a few parts."""
    for arch, keys in (("qwen2vl", [2, 1, 1, 0]), ("qwen3vl", [4, 2, 2, 0]), ("qwen3vlmoe", [4, 2, 2, 0])):
        parts = NORMS + QKV + (EXPERTS if "moe" in arch else GATED)
        third = ["attn_q_norm", "attn_k_norm"] if "3" in arch else []
        yield Model(arch, arch, parts=parts + third, more=top(), keys={"rope.dimension_sections": keys},
                    biases=[] if third else QKV[:3], experts=4 if "moe" in arch else 0,
                    **({} if third else dict(key=8, value=8)))
    yarn = scaling("yarn", 8, 16, yarn_beta_fast=8.0, yarn_beta_slow=0.5, yarn_log_multiplier=1.0)
    yield Model("mistral3-plain", "mistral3", more=top())
    yield Model("mistral3-yarn", "mistral3", more=top(), keys=yarn | {"attention.temperature_scale": 0.3})
    yield Model("mistral3-half-log", "mistral3", more=top(), keys=yarn | {"rope.scaling.yarn_log_multiplier": 0.5})
    yield Model("smollm3", "smollm3", layers=5, more=top(output=False))
    yield Model("internlm2", "internlm2", more=top(), key=8, value=8)
    yield Model("ernie4_5", "ernie4_5", more=top(output=False))
    moe = NORMS + QKV + EXPERTS
    dense_first = lambda rest, after: (lambda layer: rest + (GATED if layer == 0 else after))
    rest, bias = NORMS + QKV, ["exp_probs_b"]
    yield Model("ernie4_5-moe", "ernie4_5-moe", layers=4, more=top(), experts=4, keys={
        "leading_dense_block_count": 1, "interleave_moe_layer_step": 1, "expert_shared_feed_forward_length": 48,
    }, per_layer=dense_first(rest, EXPERTS + SHARED + bias))
    yield Model("arcee", "arcee", parts=NORMS + QKV + PLAIN, more=top())
    layer = dict(layer_norm=True, key=8, value=8)
    yield Model("nemotron", "nemotron", parts=NORMS + QKV + PLAIN, more=top(norm_bias=True), norm_biases=True,
                keys={"rope.dimension_count": 4}, **layer)
    yield Model("seed_oss", "seed_oss", parts=["attn_norm", "post_attention_norm"] + QKV + GATED, more=top(), biases=QKV[:3])
    yield Model("exaone", "exaone", more=top(), given={"rope_freqs.weight": [1, 1.5, 2, 4]}, key=8, value=8)
    norms = ["attn_q_norm", "attn_k_norm"]
    yield Model("exaone4", "exaone4", parts=AFTER + QKV + GATED + norms, key=8, value=8, more=top())
    yield Model("exaone4-32b", "exaone4", layers=64, parts=AFTER + QKV + GATED + norms, key=8, value=8, more=top(), keys={
        "attention.sliding_window": 8, "attention.sliding_window_pattern": [(i + 1) % 4 != 0 for i in range(64)]})
    alone = ["attn_norm"] + QKV + GATED
    yield Model("command-r", "command-r", parts=alone, more=top(output=False), keys={"logit_scale": 0.0625}, **layer)
    own = {"attn_q_norm": (4, 8), "attn_k_norm": (2, 8)}
    yield Model("command-r-plus", "command-r", layers=64, parts=alone + list(own), shapes=own, more=top(output=False),
                keys={"logit_scale": 0.8}, **layer)
    yield Model("cohere2", "cohere2", layers=5, parts=alone, more=top(output=False),
                keys={"logit_scale": 0.25, "attention.sliding_window": 8}, **layer)
    up = {"ffn_up": (128, 32)}
    yield Model("glm4", "glm4", parts=NORMS + AFTER + QKV + PLAIN, shapes=up, more=top(), biases=QKV[:3],
                keys={"rope.dimension_count": 8})
    rest = ["attn_norm", "post_attention_norm"] + QKV
    routed = {"leading_dense_block_count": 1, "expert_shared_count": 1, "expert_weights_scale": 2.5,
              "expert_weights_norm": True, "expert_gating_func": 2}
    named, short = dict(more=top(), experts=8, shared=32), dict(key=8, value=8)
    yield Model("glm4moe", "glm4moe", layers=3, keys=routed | {"rope.dimension_count": 8}, biases=QKV[:3],
                per_layer=dense_first(rest, EXPERTS + SHARED + bias), **named)
    yield Model("glm4moe-norms", "glm4moe", layers=3, keys=routed | {"rope.dimension_count": 8},
                per_layer=dense_first(rest + norms, EXPERTS + SHARED + bias), **named)
    rest = NORMS + QKV + norms
    for name, changed in (("", {}), ("-softmax", {"expert_gating_func": 1}), ("-sum", {"expert_weights_norm": False})):
        yield Model(f"dots1{name}", "dots1", layers=3, keys=routed | changed,
                    per_layer=dense_first(rest, EXPERTS + SHARED + bias), kv=4, **short, **named)
    first = {key: value for key, value in routed.items()} | {"nextn_predict_layers": 1}
    yield Model("bailingmoe2", "bailingmoe2", layers=4, keys=first | {"rope.dimension_count": 4, "expert_group_count": 4,
                "expert_group_used_count": 2}, key=8, value=8, per_layer=lambda layer: (
                    NORMS + FUSED + norms + (GATED if layer == 0 else EXPERTS + SHARED + bias) + (
                        ["nextn.eh_proj", "nextn.enorm", "nextn.hnorm", "layer_output_norm"] if layer == 3 else [])),
                shapes={"nextn.eh_proj": (32, 64)}, **named)
    wide = {"attn_q_norm": (64,), "attn_k_norm": (32,)}
    yield Model("minimax-m2", "minimax-m2", parts=moe + list(wide) + bias, shapes=wide, more=top(), experts=4, expert=64,
                keys={"rope.dimension_count": 8, "expert_gating_func": 2})
    yield from deepseeks(routed, named, dense_first)
    yield Model("chatglm", "chatglm", parts=NORMS + FUSED + PLAIN, shapes=up, more=top(), biases=["attn_qkv"],
                keys={"rope.dimension_count": 4}, **short)
    yield Model("minicpm", "minicpm", more=top(output=False), **short)
    scales = {"embedding_scale": 12.0, "residual_scale": 0.25, "logit_scale": 9.0}
    yield Model("minicpm-scales", "minicpm", more=top(output=False), keys=scales, **short)
    rows = {"attn_q_norm": (32,), "attn_k_norm": (32,)}
    yield Model("olmoe", "olmoe", kv=4, **short, parts=moe + list(rows), shapes=rows, more=top(), experts=4, expert=64)
    yield Model("hunyuan-dense", "hunyuan-dense", parts=LLAMA + norms, more=top(output=False))
    yield Model("hunyuan-moe", "hunyuan-moe", parts=moe + SHARED + norms, more=top(), experts=4, expert=64, shared=48,
                keys={"expert_shared_feed_forward_length": 48})
    more = top(norm_bias=True, bias=True)
    yield Model("phi2", "phi2", parts=["attn_norm"] + FUSED + PLAIN, more=more, biases=FUSED + PLAIN, norm_biases=True,
                keys={"rope.dimension_count": 4}, **layer, kv=4)
    place = [("position_embd.weight", (128, 32))]
    for arch, heads in (("gpt2", 4), ("starcoder", 1)):
        yield Model(arch, arch, parts=NORMS + FUSED + PLAIN, more=top(norm_bias=True, output=False, more=place),
                    biases=FUSED + PLAIN, norm_biases=True, kv=heads, **layer)


def deepseeks(routed, named, dense_first):
    rank, turned, plain, value, heads = 16, 8, 12, 20, 4
    key = plain + turned
    short = {"attn_kv_a_mqa": (rank + turned, 32), "attn_kv_a_norm": (rank,), "attn_output": (32, heads * value)}
    direct = {"attn_q": (heads * key, 32)}
    longer = {"attn_q_a": (24, 32), "attn_q_a_norm": (24,), "attn_q_b": (heads * key, 24)}
    halves = {"attn_k_b": (heads, rank, plain), "attn_v_b": (heads, value, rank)}
    whole = {"attn_kv_b": (heads * (plain + value), rank)}
    keys = routed | {"attention.kv_lora_rank": rank, "rope.dimension_count": turned}
    new = {"attention.key_length_mla": key, "attention.value_length_mla": value}
    bias = ["exp_probs_b"]
    softmax = {"expert_gating_func": 1, "expert_weights_norm": False, "expert_weights_scale": 1.0}
    yarn = scaling("yarn", 40, 16, yarn_log_multiplier=0.0707)
    groups = {"expert_group_count": 4, "expert_group_used_count": 2}

    def deep(shapes, extra):
        attention = [part for part in shapes if part.startswith("attn")]
        apart = ["ffn_gate_exps", "ffn_up_exps"]
        routed = [part for part in EXPERTS if "ffn_gate_up_exps" not in shapes or part not in apart]
        routed += [part for part in shapes if not part.startswith("attn")]
        return dense_first(NORMS + attention, routed + SHARED + extra)

    for name, layers, queries, made, changed, extra in (
        ("v2-lite", 27, direct, halves, new | softmax, []),
        ("v2-lite-old", 27, direct, whole, softmax | yarn, []),
        ("v2", 3, longer, halves, new | softmax | yarn | {"attention.q_lora_rank": 24}, []),
        ("v3", 3, longer, halves, new | yarn | groups | {"attention.q_lora_rank": 24}, bias),
        ("v3-log-1", 3, longer, halves, new | scaling("yarn", 40, 16, yarn_log_multiplier=0.1) | {"attention.q_lora_rank": 24}, bias),
        ("v3-merged", 3, longer, halves | {"ffn_gate_up_exps": (8, 64, 32)}, new | {"attention.q_lora_rank": 24}, bias),
        ("v3-positions", 3, longer, halves, new | {"attention.q_lora_rank": 24, "attention.temperature_scale": 0.3,
                                                   "attention.temperature_length": 8}, bias),
        ("v3-old", 3, longer, whole, groups | {"attention.q_lora_rank": 24}, bias),
    ):
        shapes = short | queries | made
        lengths = dict(kv=1, key=rank + turned, value=rank) if made is not whole else dict(kv=heads, key=key, value=value)
        yield Model(f"deepseek2-{name}", "deepseek2", layers=layers, shapes=shapes, keys=keys | changed,
                    per_layer=deep(shapes, extra), **lengths, **named)


def newer_encoders():
    norms, gelu = ["attn_output_norm", "layer_output_norm"], FUSED + PLAIN
    routed = ["attn_qkv", "attn_output", "ffn_gate_inp", "ffn_up_exps", "ffn_down_exps"]
    yield encoder("nomic-bert-moe", "nomic-bert-moe", [], layers=4, biases=gelu, experts=4, expert=64,
                  keys={"moe_every_n_layers": 2}, per_layer=lambda layer: norms + (routed if layer % 2 else gelu))
    window = {"attention.sliding_window": 8, "pooling_type": 1, "attention.causal": False}
    fused = ["ffn_norm"] + FUSED + PLAIN
    yield Model("modern-bert", "modern-bert", layers=7, shapes={"ffn_up": (128, 32)}, kv=4, key=8, value=8,
                layer_norm=True, more={"token_embd_norm.weight": (32,), "output_norm.weight": (32,)},
                keys=window | {"attention.sliding_window_pattern": 3, "rope.freq_base": 160000.0,
                               "rope.freq_base_swa": 10000.0},
                per_layer=lambda layer: fused + (["attn_norm"] if layer else []))
    yield Model("gemma-embedding", "gemma-embedding", layers=7, more=top(output=False), keys=window | {
        "rope.freq_base": 1e6}, parts=NORMS + AFTER + QKV + GATED + ["attn_q_norm", "attn_k_norm"])


MODELS = (llamas, qwens, gemmas, others, encoders, families, newer_encoders)
