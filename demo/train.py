"""Makes demo.gguf, the demonstration model of `aienv chat --demo`, from the questions in this folder.

    python3.11 -m venv venv
    venv/bin/pip install torch==2.15.0 tokenizers==0.23.3 gguf==0.19.0 numpy==2.4.6
    venv/bin/python train.py                 # ten minutes or more of one core
    venv/bin/python train.py --steps 100     # to see that all of it works

The seed is fixed, but processors and numbers of threads round differently: what comes out is much the same
and not the same to the last bit.
"""

import argparse
import json
import math
import pathlib
import random
import time

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import corpus

SEED = 1
VOCABULARY, WIDTH, INNER, HEADS, LAYERS, CONTEXT = 2048, 192, 512, 3, 4, 256
ROWS, DROPOUT, DECAY = 12, 0.1, 0.1
# How fast matrices within layers learn (by Muon), and how fast all else does (by AdamW).
RATE, RATE_ELSE = 0.02, 3e-3
# Rates, as shares of these, at steps; between them they change evenly.
SCHEDULE = [(-1, 0.0), (49, 1.0), (600, 1.0), (1050, 2 / 11), (1300, 0.0)]
BASE, EPSILON = 10_000.0, 1e-5
BEGIN, USER, ASSISTANT, END = SPECIAL = ["<|begin|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}<|user|>{{ message.content | trim }}<|end|>"
    "{% elif message.role == 'assistant' %}<|assistant|>{{ message.content | trim }}<|end|>"
    "{% elif message.role == 'system' %}{{ raise_exception('the demonstration model takes no system prompt') }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# How often a question is asked of the catalogue, and how often it is about nothing that the model knows.
SHARE_CATALOGUE, SHARE_OTHER = 0.2, 0.12


class Norm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return x * (size.square() / WIDTH + EPSILON).rsqrt().to(x.dtype) * self.weight.to(x.dtype)


class Matrix(torch.nn.Module):
    """A product in the precision of its input; the numbers that are learned stay in 32 bits."""

    def __init__(self, columns, rows, scale=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(rows, columns) * scale / columns**0.5)

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype))


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        last = (2 * LAYERS) ** -0.5
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q, self.attn_k, self.attn_v = (Matrix(WIDTH, WIDTH) for _ in range(3))
        self.attn_output = Matrix(WIDTH, WIDTH, last)
        self.ffn_gate, self.ffn_up, self.ffn_down = Matrix(WIDTH, INNER), Matrix(WIDTH, INNER), Matrix(INNER, WIDTH, last)

    def forward(self, x, cos, sin):
        rows, length, _ = x.shape
        h = self.attn_norm(x)
        q, k, v = (part(h).view(rows, length, HEADS, -1).transpose(1, 2) for part in (self.attn_q, self.attn_k, self.attn_v))
        h = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.attn_output(h.transpose(1, 2).reshape(rows, length, WIDTH))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


def rotate(x, cos, sin):
    """Turns pairs of numbers, half a head apart, by the angle of their place."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), -1)


def neighbours(matrix):
    """The rows of a matrix of queries or keys in the order of llama files, where pairs lie side by side."""
    return matrix.view(HEADS, 2, -1, WIDTH).transpose(1, 2).reshape(WIDTH, WIDTH)


class Model(torch.nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.token_embd = torch.nn.Embedding(vocabulary, WIDTH)
        torch.nn.init.normal_(self.token_embd.weight, std=0.05)
        self.blk = torch.nn.ModuleList(Layer() for _ in range(LAYERS))
        self.output_norm = Norm()
        size = WIDTH // HEADS
        angles = torch.outer(torch.arange(CONTEXT), BASE ** -(torch.arange(0, size, 2) / size))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids, wanted):
        """Scores for what follows the tokens that `wanted` marks."""
        x = F.dropout(self.token_embd(ids), DROPOUT, self.training)
        x = x.to(torch.bfloat16 if self.training else torch.float32)
        cos, sin = (table[: ids.shape[1]].to(x.dtype) for table in (self.cos, self.sin))
        for layer in self.blk:
            x = layer(x, cos, sin)
        return F.linear(self.output_norm(x[wanted]), self.token_embd.weight.to(x.dtype)).float()


def make_tokenizer(facts, ways):
    """Byte-level BPE that cuts words as GPT-2 does (`tokenizer.ggml.pre` is gpt-2)."""
    dice = random.Random(SEED)
    texts = [fact.answer for fact in facts] * 3
    for fact in facts:
        # Of the catalogue there are many questions in the same words.
        times = 1 if fact.kind == "catalogue" else 2
        texts += [corpus.case(ways.reword(fact.question(dice), dice, 0.2), dice) for _ in fact.ask for _ in range(times)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Talk:
    """Conversations without end, for training: ids, and how much each counts as something to be foretold."""

    def __init__(self, facts, ways, tokenizer):
        self.dice = random.Random(SEED)
        kinds = lambda wanted: [fact for fact in facts if wanted(fact.kind)]
        self.catalogue, self.other = kinds("catalogue".__eq__), kinds("other".__eq__)
        self.rest = kinds(lambda kind: kind not in ("catalogue", "other"))
        self.ways, self.tokenizer = ways, tokenizer
        self.begin, self.user, self.assistant, self.end = (tokenizer.token_to_id(token) for token in SPECIAL)
        self.answers = {fact.answer: self.encode(fact.answer) for fact in facts}
        self.ids, self.weights = [], []

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def question(self, fact):
        text = self.ways.vary(fact.question(self.dice), self.dice)
        if self.dice.random() < 0.2:
            # Cut anywhere: words in other pieces than usual, as slips of the finger make them.
            cut = self.dice.randrange(1, len(text)) if len(text) > 1 else 0
            return self.encode(text[:cut]) + self.encode(text[cut:])
        return self.encode(text)

    def fact(self):
        dice = self.dice.random()
        if dice < SHARE_CATALOGUE:
            return self.dice.choice(self.catalogue)
        return self.dice.choice(self.other if dice < SHARE_CATALOGUE + SHARE_OTHER else self.rest)

    def conversation(self):
        """Questions and answers: mostly one or two, sometimes as many as the context holds."""
        turns = self.dice.choices([1, 2, 3, 5, 9], [45, 25, 15, 10, 5])[0]
        self.ids.append(self.begin)
        self.weights.append(0.0)
        for _ in range(turns):
            fact = self.fact()
            question, answer = self.question(fact), self.answers[fact.answer]
            self.ids += [self.user, *question, self.end, self.assistant, *answer, self.end]
            # Questions count a little: to foretell them teaches what words go together. The first tokens of an
            # answer count most, since they decide which one it is; the rest follows from them.
            answered = [*[5.0] * 5, *[1.0] * len(answer)][: len(answer) + 1]
            self.weights += [0.0, *[0.1] * len(question), 0.0, 0.0, *answered]

    def batch(self):
        ids, weights = [], []
        for _ in range(ROWS):
            # Each row begins with a conversation, so that beginnings are learned where they are.
            self.ids, self.weights = [], []
            while len(self.ids) <= CONTEXT:
                self.conversation()
            ids.append(self.ids[: CONTEXT + 1])
            weights.append(self.weights[: CONTEXT + 1])
        return torch.tensor(ids), torch.tensor(weights)


def learn(model, talk, steps, checkpoint):
    matrices = [p for p in model.blk.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1] + [model.token_embd.weight]
    optimisers = [
        torch.optim.Muon(matrices, lr=RATE, momentum=0.95, weight_decay=DECAY),
        torch.optim.AdamW(others, lr=RATE_ELSE, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    done = restore(model, talk, optimisers, checkpoint)
    began, shown = time.time(), []
    model.train()
    for step in range(done, steps):
        share = np.interp(step, *zip(*SCHEDULE))
        for optimiser, rate in zip(optimisers, (RATE, RATE_ELSE)):
            for group in optimiser.param_groups:
                group["lr"] = float(rate * share)
        ids, weights = talk.batch()
        wanted, weights = weights[:, 1:] > 0, weights[:, 1:]
        losses = F.cross_entropy(model(ids[:, :-1], wanted), ids[:, 1:][wanted], reduction="none")
        loss = (losses * weights[wanted]).sum() / weights.sum()
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        shown.append(loss.item())
        if (step + 1) % 25 == 0:
            print(f"step {step + 1} of {steps}, loss {sum(shown) / len(shown):.4f}, {time.time() - began:.0f} s", flush=True)
            shown.clear()
            save(model, talk, optimisers, step + 1, checkpoint)
        if (step + 1) % 250 == 0:
            test(model, talk)
            model.train()


def save(model, talk, optimisers, done, path):
    if path:
        dice = (talk.dice.getstate(), torch.get_rng_state())
        torch.save({"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "done": done, "dice": dice}, path)


def restore(model, talk, optimisers, path):
    """Goes on where an earlier run with the same checkpoint was ended; gives the number of steps that it made."""
    if not (path and path.exists()):
        return 0
    saved = torch.load(path, weights_only=False)
    model.load_state_dict(saved["model"])
    for optimiser, state in zip(optimisers, saved["optimisers"]):
        optimiser.load_state_dict(state)
    talk.dice.setstate(saved["dice"][0])
    torch.set_rng_state(saved["dice"][1])
    return saved["done"]


@torch.no_grad()
def test(model, talk):
    """Questions that were held out, and how many get the right answer to the last letter.

    Greedy generation gives an answer exactly when every token of it is the likeliest one behind those before it.
    """
    model.eval()
    tally, wrong = {}, []
    for fact in talk.rest + talk.other + talk.catalogue:
        for question in fact.held_out:
            question = corpus.proper(question)
            prompt = [talk.begin, talk.user, *talk.encode(question), talk.end, talk.assistant]
            answer = [*talk.answers[fact.answer], talk.end]
            ids = torch.tensor([prompt + answer[:-1]])
            wanted = (torch.arange(ids.shape[1]) >= len(prompt) - 1)[None]
            best = model(ids, wanted).argmax(-1).tolist()
            right, all_ = tally.get(fact.kind, (0, 0))
            tally[fact.kind] = (right + (best == answer), all_ + 1)
            if best != answer:
                wrong.append((question, talk.tokenizer.decode(best)))
    own = [counts for kind, counts in tally.items() if kind != "catalogue"]
    for name, counts in [*sorted(tally.items()), ("all but catalogue", tuple(map(sum, zip(*own))))]:
        print(f"  {name}: {counts[0]} of {counts[1]}", flush=True)
    return wrong


def export(model, tokenizer, path):
    """Writes the model as GGUF: matrices in Q8_0, the rest in F32."""
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("aienv demo")
    out.add_description("A tiny demonstration model that answers questions about aienv and nothing else")
    out.add_license("Apache-2.0 OR MIT")
    out.add_languages(["en"])
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(INNER)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(EPSILON)
    out.add_rope_freq_base(BASE)
    out.add_rope_dimension_count(WIDTH // HEADS)
    description = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(description["vocab"], key=description["vocab"].get)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens])
    out.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in description["merges"]])
    out.add_bos_token_id(tokens.index(BEGIN))
    out.add_eos_token_id(tokens.index(END))
    out.add_eot_token_id(tokens.index(END))
    out.add_add_bos_token(True)
    out.add_chat_template(TEMPLATE)
    for name, values in model.state_dict().items():
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            values = neighbours(values)
        if values.ndim == 1:
            out.add_tensor(name, values.numpy())
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            out.add_tensor(name, gguf.quants.quantize(values.numpy(), kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=SCHEDULE[-1][0])
    parser.add_argument("--checkpoint", type=pathlib.Path, help="save here now and then, and go on from here")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=corpus.HERE / "demo.gguf")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    facts, ways = corpus.facts(), corpus.Ways()
    tokenizer = make_tokenizer(facts, ways)
    model = Model(tokenizer.get_vocab_size())
    talk = Talk(facts, ways, tokenizer)
    size = sum(p.numel() for p in model.parameters())
    print(f"{len(facts)} facts, {tokenizer.get_vocab_size()} tokens, {size / 1e6:.2f} million parameters", flush=True)
    learn(model, talk, args.steps, args.checkpoint)
    for question, answer in test(model, talk):
        print(f"  wrong: {question} -> {answer}")
    export(model, tokenizer, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
