"""The tiny models of architectures that differ from others in a few parts; see `make.py`."""

import numpy as np
import torch
import transformers as hf
from gguf import GGMLQuantizationType as Type

from make import (
    BASE, CONTEXT, EPSILON, EXPERT_INNER, EXPERTS, GEMMA_NORMS, HEADS, INNER, KV_HEADS, LAYER_NORM, LAYERS, MOE, OLMO_NORMS,
    RMS, SHARED_INNER, USED, VOCAB, WIDTH, WINDOW, Case, encoder, make, rope,
)

PLAIN = dict(gated=False, without_gate=("up_proj", "down_proj", False))
SHORT = dict(head=WIDTH // HEADS)
QUERY_RANK, RANK, TURNED, UNTURNED, VALUE = 32, 32, 8, 24, 32
ROUTED = {
    "leading_dense_block_count": 1,
    "expert_shared_count": SHARED_INNER // EXPERT_INNER,
    "expert_weights_scale": 2.5,
    "expert_weights_norm": True,
    "expert_gating_func": 2,
}
SIGMOID = dict(
    n_routed_experts=EXPERTS, num_experts_per_tok=USED, moe_intermediate_size=EXPERT_INNER,
    n_shared_experts=SHARED_INNER // EXPERT_INNER, first_k_dense_replace=1, routed_scaling_factor=2.5,
    norm_topk_prob=True, n_group=1, topk_group=1,
)
DEEP = dict(experts=True, dense_layers=1, shared="shared_experts", router_bias="gate.e_score_correction_bias")


def llamas():
    """Llama's parts under another name, or with one thing changed."""
    make(Case("internlm2", neighbours=True), "Llama", **RMS, **rope())
    make(Case("exaone"), "Llama", **RMS, **rope())
    make(Case("arcee", neighbours=True, **PLAIN), "Arcee", **RMS, **rope())
    make(Case("seed_oss", qkv_bias=True, norms={
        "attn_norm": "input_layernorm",
        "post_attention_norm": "post_attention_layernorm",
    }), "SeedOss", attention_bias=True, attention_out_bias=False, **RMS, **rope())
    case = Case("smollm3", neighbours=True, tied=True, layers=4, **SHORT)
    make(case, "SmolLM3", rms_norm_eps=EPSILON, no_rope_layer_interval=4,
         **(BASE | dict(num_hidden_layers=4)), **rope())
    case = Case("mistral3", neighbours=True, keys={
        "attention.temperature_scale": 0.3,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 16,
        "rope.scaling.yarn_beta_fast": 8.0,
        "rope.scaling.yarn_log_multiplier": 1.0,
    })
    yarn = rope("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=8.0, beta_slow=1.0,
                mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.3)
    make(case, "Ministral3", sliding_window=None, **RMS, **yarn)
    case = Case("nemotron", keys={"rope.dimension_count": 4}, norm_shift=1.0, **LAYER_NORM, **PLAIN)
    make(case, "Nemotron", norm_eps=EPSILON, head_dim=WIDTH // HEADS, **BASE, **rope(partial_rotary_factor=0.5))
    # For text alone the models that see pictures are those that do not.
    make(Case("qwen2vl", qkv_bias=True, head=8), "Qwen2", **(RMS | dict(head_dim=8)), **rope())
    make(Case("qwen3vl", head_norm="head"), "Qwen3", **RMS, **rope())
    make(Case("qwen3vlmoe", head_norm="head", experts=True), "Qwen3Moe", norm_topk_prob=True, **RMS, **MOE, **rope())


def rotated_in_places():
    kinds = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    window = {"attention.sliding_window": WINDOW}
    config = dict(num_hidden_layers=4, layer_types=kinds, sliding_window=WINDOW)
    case = Case("exaone4", norms=OLMO_NORMS, head_norm="head", layers=4, keys=window)
    make(case, "Exaone4", sliding_window_pattern=4, **(RMS | config), **rope())

    # These turn neighbours there as well.
    alone = LAYER_NORM | dict(norm_bias=False, norms={"attn_norm": "input_layernorm"}, tied=True)
    cohere = dict(layer_norm_eps=EPSILON, logit_scale=0.25)
    case = Case("command-r", head_norm="own", keys={"logit_scale": 0.25}, **alone)
    make_heads_alike(case)
    make(case, "Cohere", use_qk_norm=True, **BASE, **cohere, **rope())
    case = Case("cohere2", layers=4, keys=window | {"logit_scale": 0.25}, **alone)
    make(case, "Cohere2", **(BASE | config), **cohere, **rope())


def make_heads_alike(case):
    """Norms of heads lie in one matrix there."""
    attention = case.attention

    def with_norms(file, there):
        attention(file, there)
        for letter in "qk":
            rows = [key for key in case.state if key.startswith(f"{there}.{letter}_layernorm.norms")]
            case.state[f"{there}.{letter}_norm.weight"] = np.stack([case.state.pop(key) for key in rows])

    case.attention = with_norms


def experts():
    case = Case("olmoe", head_norm="row", experts=True, inner=EXPERT_INNER, **SHORT)
    config = BASE | dict(intermediate_size=EXPERT_INNER)
    make(case, "Olmoe", rms_norm_eps=EPSILON, num_experts=EXPERTS, num_experts_per_tok=USED, **config, **rope())

    make(Case("ernie4_5", tied=True), "Ernie4_5", **RMS, **rope())
    case = Case("ernie4_5-moe", experts=True, dense_layers=1, shared="shared_experts",
                router_bias="gate.moe_statics.e_score_correction_bias", keys={
                    "leading_dense_block_count": 1,
                    "interleave_moe_layer_step": 1,
                    "expert_shared_feed_forward_length": SHARED_INNER,
                }, **SHORT)
    case.decoder()
    for key in case.state:
        if "moe_statics" in key:
            case.state[key] = case.state[key].reshape(1, EXPERTS)
    config = hf.Ernie4_5_MoeConfig(
        rms_norm_eps=EPSILON, moe_num_experts=EXPERTS, moe_k=USED, moe_intermediate_size=EXPERT_INNER,
        moe_num_shared_experts=SHARED_INNER // EXPERT_INNER, moe_layer_start_index=1,
        moe_layer_end_index=LAYERS - 1, moe_layer_interval=1, tie_word_embeddings=False, **BASE, **rope())
    case.write(hf.Ernie4_5_MoeForCausalLM(config))

    renamed = {"q_norm": "query_layernorm", "k_norm": "key_layernorm", "gate.weight": "gate.wg.weight"}
    make(Case("hunyuan-dense", head_norm="head", tied=True, renamed=renamed), "HunYuanDenseV1", **RMS, **rope())
    case = Case("hunyuan-moe", head_norm="head", experts=True, inner=EXPERT_INNER, shared="shared_mlp", renamed=renamed,
                keys={"expert_shared_feed_forward_length": SHARED_INNER})
    config = hf.HunYuanMoEV1Config(
        num_experts=EXPERTS, moe_topk=USED, tie_word_embeddings=False, **(RMS | dict(intermediate_size=EXPERT_INNER)),
        **rope())
    model = hf.HunYuanMoEV1ForCausalLM(config)
    # There the shared expert is as wide as the others.
    case.decoder()
    for layer in model.model.layers:
        mlp = layer.mlp.shared_mlp
        for name, shape in (("gate_proj", (WIDTH, SHARED_INNER)), ("up_proj", (WIDTH, SHARED_INNER)),
                            ("down_proj", (SHARED_INNER, WIDTH))):
            setattr(mlp, name, hf.models.llama.modeling_llama.nn.Linear(*shape, bias=False))
    case.write(model)


def glm():
    case = Case("glm4", qkv_bias=True, keys={"rope.dimension_count": 8}, norms={
        "attn_norm": "input_layernorm",
        "post_attention_norm": "post_self_attn_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_mlp_layernorm",
    })
    # Gate and up are one matrix in the file, queries, keys and values are not.
    def dense(file, there):
        case.linear(f"{file}.ffn_up", f"{there}.gate_up_proj", 2 * INNER, WIDTH)
        case.linear(f"{file}.ffn_down", f"{there}.down_proj", WIDTH, INNER)
    case.dense = dense
    make(case, "Glm4", attention_bias=True, **RMS, **rope(partial_rotary_factor=0.5))

    norms = {"attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm"}
    case = Case("glm4moe", qkv_bias=True, norms=norms, keys=ROUTED | {"rope.dimension_count": 8}, **DEEP)
    make(case, "Glm4Moe", attention_bias=True, use_qk_norm=False, **RMS, **SIGMOID, **rope(partial_rotary_factor=0.5))
    make(Case("dots1", head_norm="head", keys=ROUTED, **DEEP), "Dots1", sliding_window=None,
         **RMS, **SIGMOID, **rope())


class Latent(Case):
    """DeepSeek's attention, in the newer form of files or the older one."""

    def __init__(self, name, short_queries, old=False, keys=None, **traits):
        key = UNTURNED + TURNED
        lengths = {"attention.head_count_kv": 1, "attention.key_length": RANK + TURNED,
                   "attention.value_length": RANK, "attention.key_length_mla": key,
                   "attention.value_length_mla": VALUE}
        if old:
            lengths = {"attention.head_count_kv": HEADS, "attention.key_length": key, "attention.value_length": VALUE}
        keys = ROUTED | lengths | {"attention.kv_lora_rank": RANK, "rope.dimension_count": TURNED} | keys
        if short_queries:
            keys["attention.q_lora_rank"] = QUERY_RANK
        super().__init__("deepseek2", name, keys=keys, **(DEEP | traits))
        self.short_queries, self.old = short_queries, old

    def attention(self, file, there):
        queries = HEADS * (UNTURNED + TURNED)
        if self.short_queries:
            self.linear(f"{file}.attn_q_a", f"{there}.q_a_proj", QUERY_RANK, WIDTH)
            self.norm(f"{file}.attn_q_a_norm", f"{there}.q_a_layernorm", QUERY_RANK)
            self.linear(f"{file}.attn_q_b", f"{there}.q_b_proj", queries, QUERY_RANK)
        else:
            self.linear(f"{file}.attn_q", f"{there}.q_proj", queries, WIDTH)
        self.linear(f"{file}.attn_kv_a_mqa", f"{there}.kv_a_proj_with_mqa", RANK + TURNED, WIDTH)
        self.norm(f"{file}.attn_kv_a_norm", f"{there}.kv_a_layernorm", RANK)
        self.linear(f"{file}.attn_output", f"{there}.o_proj", WIDTH, HEADS * VALUE)
        if self.old:
            self.linear(f"{file}.attn_kv_b", f"{there}.kv_b_proj", HEADS * (UNTURNED + VALUE), RANK)
            return
        keys = self.weights.matrix(f"{file}.attn_k_b.weight", HEADS, RANK, UNTURNED)
        values = self.weights.matrix(f"{file}.attn_v_b.weight", HEADS, VALUE, RANK)
        both = np.concatenate([keys.transpose(0, 2, 1), values], axis=1)
        self.state[f"{there}.kv_b_proj.weight"] = both.reshape(-1, RANK)


def deepseek():
    lengths = dict(kv_lora_rank=RANK, qk_rope_head_dim=TURNED, qk_nope_head_dim=UNTURNED, v_head_dim=VALUE)
    config = BASE | SIGMOID | lengths | dict(rms_norm_eps=EPSILON, num_key_value_heads=HEADS)
    yarn = dict(factor=40.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0)
    keys = {"rope.scaling.type": "yarn", "rope.scaling.factor": 40.0, "rope.scaling.original_context_length": 16,
            "rope.scaling.yarn_log_multiplier": 0.1}
    groups = {"expert_group_count": 2, "expert_group_used_count": 1}
    for name, old in (("deepseek3", False), ("deepseek3-old", True)):
        make(Latent(name, True, old, keys=keys | groups), "DeepseekV3", q_lora_rank=QUERY_RANK,
             **(config | dict(n_group=2, topk_group=1)), **rope("yarn", mscale=1.0, mscale_all_dim=1.0, **yarn))
    plain = {"expert_gating_func": 1, "expert_weights_norm": False, "expert_weights_scale": 1.0}
    make(Latent("deepseek2-lite", False, keys=plain, router_bias=None), "DeepseekV2", q_lora_rank=None,
         **(config | dict(routed_scaling_factor=1.0, norm_topk_prob=False)), topk_method="greedy", **rope())


def fuse(case):
    """Queries, keys and values are one matrix in the file, and three there."""
    linear, head = case.linear, case.head
    parts = {"q": HEADS * head, "k": KV_HEADS * head, "v": KV_HEADS * head}

    def part(name, target, rows, columns, bias=False, **more):
        letter = name[-1]
        if not name.endswith(("attn_q", "attn_k", "attn_v")):
            return linear(name, target, rows, columns, bias, **more)
        if letter == "q":
            linear(f"{name}kv", "all", sum(parts.values()), columns, bias)
        for kind in ("weight", "bias") if bias else ("weight",):
            case.state[f"{target}.{kind}"] = case.state[f"all.{kind}"][:rows]
            rest = case.state.pop(f"all.{kind}")[rows:]
            if letter != "v":
                case.state[f"all.{kind}"] = rest

    case.linear = lambda name, target, rows, columns, bias=False, turned=0, **more: part(
        name, target, rows, columns, bias, **more)


def fused():
    case = Case("bailingmoe2", head_norm="head", keys=ROUTED, **DEEP)
    fuse(case)
    make(case, "Dots1", sliding_window=None, **RMS, **SIGMOID, **rope())

    # It turns neighbours there as well.
    case = Case("chatglm", qkv_bias=True, keys={"rope.dimension_count": 8})
    fuse(case)
    case.dense = lambda file, there: (
        case.linear(f"{file}.ffn_up", f"{there}.gate_up_proj", 2 * INNER, WIDTH),
        case.linear(f"{file}.ffn_down", f"{there}.down_proj", WIDTH, INNER),
    )
    make(case, "Glm", attention_bias=True, **RMS, **rope(partial_rotary_factor=0.5))

    # One says its scales, one leaves them to be known.
    scales = {"embedding_scale": 6.0, "residual_scale": 0.4, "logit_scale": 3.0}
    known = {"embedding_scale": 12.0, "residual_scale": 1.4 / LAYERS**0.5, "logit_scale": 256.0 / WIDTH}
    for name, keys in (("minicpm", scales), ("minicpm-old", {})):
        values = keys or known
        make(Case("minicpm", name, neighbours=True, tied=True, keys=keys, **SHORT), "Granite", rms_norm_eps=EPSILON,
             attention_multiplier=(WIDTH // HEADS) ** -0.5, embedding_multiplier=values["embedding_scale"],
             residual_multiplier=values["residual_scale"], logits_scaling=values["logit_scale"], **BASE, **rope())

    case = Case("minimax-m2", head_norm="row", experts=True, inner=EXPERT_INNER, router_bias="e_score_correction_bias",
                keys={"expert_gating_func": 2, "rope.dimension_count": 8})
    make(case, "MiniMaxM2", num_local_experts=EXPERTS, num_experts_per_tok=USED,
         **(RMS | dict(intermediate_size=EXPERT_INNER)), **rope(partial_rotary_factor=0.5))


def encoders():
    window = {"attention.sliding_window": WINDOW, "attention.causal": False, "pooling_type": 1}
    case = Case("gemma-embedding", norm_shift=1.0, tied=True, norms=GEMMA_NORMS, head_norm="head", layers=3,
                keys=window | {"attention.sliding_window_pattern": [True, False, True], "rope.freq_base": 1e6})
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    config = hf.Gemma3TextConfig(
        query_pre_attn_scalar=16, sliding_window=WINDOW, use_bidirectional_attention=True, **(RMS | dict(
            num_hidden_layers=3, layer_types=kinds, rope_parameters={
                "full_attention": dict(rope_type="default", rope_theta=1e6),
                "sliding_attention": dict(rope_type="default", rope_theta=1e4),
            })))
    case.decoder()
    case.state = {key.removeprefix("model."): v for key, v in case.state.items() if not key.startswith("lm_head")}
    case.write(hf.Gemma3TextModel(config))

    case = Case("modern-bert", layers=4, epsilon="attention.layer_norm_epsilon", keys=window | {
        "attention.head_count_kv": HEADS, "attention.sliding_window_pattern": 3, "rope.freq_base": 160000.0,
        "rope.freq_base_swa": 10000.0}, **SHORT)
    case.linear("token_embd", "embeddings.tok_embeddings", VOCAB, WIDTH)
    case.norm("token_embd_norm", "embeddings.norm", WIDTH)
    for i in range(4):
        if i > 0:
            case.norm(f"blk.{i}.attn_norm", f"layers.{i}.attn_norm", WIDTH)
        case.linear(f"blk.{i}.attn_qkv", f"layers.{i}.attn.Wqkv", 3 * WIDTH, WIDTH)
        case.linear(f"blk.{i}.attn_output", f"layers.{i}.attn.Wo", WIDTH, WIDTH)
        case.norm(f"blk.{i}.ffn_norm", f"layers.{i}.mlp_norm", WIDTH)
        case.linear(f"blk.{i}.ffn_up", f"layers.{i}.mlp.Wi", 2 * INNER, WIDTH)
        case.linear(f"blk.{i}.ffn_down", f"layers.{i}.mlp.Wo", WIDTH, INNER)
    case.norm("output_norm", "final_norm", WIDTH)
    config = hf.ModernBertConfig(
        global_attn_every_n_layers=3, local_attention=WINDOW, hidden_activation="gelu_pytorch_tanh", norm_eps=EPSILON,
        cls_token_id=0, sep_token_id=0, **(BASE | dict(num_hidden_layers=4)))
    case.write(hf.ModernBertModel(config))
    nomic()


class Mixture(torch.nn.Module):
    """Nomic's experts: no gate, weighed by a softmax over all. One expert is a plain block."""

    def __init__(self, experts):
        super().__init__()
        self.router = torch.nn.Linear(WIDTH, experts, bias=False) if experts > 1 else None
        plain = experts == 1
        self.up = torch.nn.ModuleList(torch.nn.Linear(WIDTH, INNER, bias=plain) for _ in range(experts))
        self.down = torch.nn.ModuleList(torch.nn.Linear(INNER, WIDTH, bias=plain) for _ in range(experts))

    def forward(self, x):
        made = [d(torch.nn.functional.gelu(u(x), approximate="tanh")) for u, d in zip(self.up, self.down)]
        if not self.router:
            return made[0]
        chances = self.router(x).softmax(-1)
        best = chances.topk(USED, -1)
        parts = torch.zeros_like(chances).scatter(-1, best.indices, best.values)
        return sum(parts[..., i:i + 1] * rows for i, rows in enumerate(made))


def nomic():
    at = "layers.%d."
    names = [at + f"self_attn.{letter}_proj" for letter in "qkvo"]
    case = encoder("nomic-bert-moe", {}, names, at + "post_attention_layernorm", at + "post_mlp_layernorm")
    case.keys |= {"moe_every_n_layers": 2, "expert_count": EXPERTS, "expert_used_count": USED}
    config = {key: value for key, value in BASE.items() if key != "num_key_value_heads"}
    model = hf.NomicBertModel(hf.NomicBertConfig(layer_norm_eps=EPSILON, **config, **rope()), add_pooling_layer=False)
    for i, layer in enumerate(model.layers):
        file, there = f"blk.{i}", f"layers.{i}.mlp"
        layer.mlp = Mixture(EXPERTS if i % 2 else 1)
        if i % 2 == 0:
            case.linear(f"{file}.ffn_up", f"{there}.up.0", INNER, WIDTH, True)
            case.linear(f"{file}.ffn_down", f"{there}.down.0", WIDTH, INNER, True)
            continue
        case.linear(f"{file}.ffn_gate_inp", f"{there}.router", EXPERTS, WIDTH, ty=Type.F32)
        for part, shape in (("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))):
            matrices = case.weights.matrix(f"{file}.ffn_{part}_exps.weight", EXPERTS, *shape)
            for expert, matrix in enumerate(matrices):
                case.state[f"{there}.{part}.{expert}.weight"] = matrix
    case.write(model)


def older():
    case = Case("phi2", gated=False, qkv_bias=True, output_bias=True, without_gate=("fc1", "fc2", True),
                keys={"rope.dimension_count": 4}, renamed={"o_proj": "dense", "model.norm": "model.final_layernorm"},
                **(LAYER_NORM | dict(norms={"attn_norm": "input_layernorm"})))
    case.state["lm_head.bias"] = case.weights.vector("output.bias", VOCAB)
    make(case, "Phi", hidden_act="gelu_pytorch_tanh", layer_norm_eps=EPSILON, **BASE,
         **rope(partial_rotary_factor=0.5))

    config = dict(n_embd=WIDTH, n_head=HEADS, n_layer=LAYERS, n_inner=INNER, n_positions=CONTEXT, vocab_size=VOCAB,
                  layer_norm_epsilon=EPSILON, activation_function="gelu_pytorch_tanh", attn_implementation="eager",
                  bos_token_id=0, eos_token_id=0)
    for arch, heads, model in (("gpt2", HEADS, hf.GPT2LMHeadModel), ("starcoder", 1, hf.GPTBigCodeForCausalLM)):
        case = Case(arch, head=WIDTH // HEADS, epsilon="attention.layer_norm_epsilon",
                    keys={"attention.head_count_kv": heads})
        case.linear("token_embd", "transformer.wte", VOCAB, WIDTH)
        case.linear("position_embd", "transformer.wpe", CONTEXT, WIDTH)
        width = WIDTH + 2 * heads * (WIDTH // HEADS)
        for i in range(LAYERS):
            file, there = f"blk.{i}", f"transformer.h.{i}"
            case.norm(f"{file}.attn_norm", f"{there}.ln_1", WIDTH, bias=True)
            case.norm(f"{file}.ffn_norm", f"{there}.ln_2", WIDTH, bias=True)
            case.linear(f"{file}.attn_qkv", f"{there}.attn.c_attn", width, WIDTH, True)
            case.linear(f"{file}.attn_output", f"{there}.attn.c_proj", WIDTH, WIDTH, True)
            case.linear(f"{file}.ffn_up", f"{there}.mlp.c_fc", INNER, WIDTH, True)
            case.linear(f"{file}.ffn_down", f"{there}.mlp.c_proj", WIDTH, INNER, True)
        case.norm("output_norm", "transformer.ln_f", WIDTH, bias=True)
        case.state["lm_head.weight"] = case.state["transformer.wte.weight"]
        if arch == "gpt2":
            # Its matrices are the other way round there.
            for key in case.state:
                if ".c_" in key and key.endswith("weight"):
                    case.state[key] = case.state[key].T
        case.write(model(model.config_class(**config)))


if __name__ == "__main__":
    for make_some in (llamas, rotated_in_places, experts, glm, deepseek, fused, encoders, older):
        make_some()
