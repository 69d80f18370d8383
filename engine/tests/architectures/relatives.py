"""The tiny models of architectures that differ from others in a few parts; see `make.py`."""

import numpy as np
import transformers as hf

from make import (
    BASE, CONTEXT, EPSILON, EXPERT_INNER, EXPERTS, HEADS, INNER, KV_HEADS, LAYER_NORM, LAYERS, MOE, OLMO_NORMS,
    RMS, SHARED_INNER, USED, VOCAB, WIDTH, WINDOW, Case, make, rope,
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
    for make_some in (llamas, rotated_in_places, experts, glm, deepseek, older):
        make_some()
