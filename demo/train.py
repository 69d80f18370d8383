"""Makes demo.gguf, the demonstration model of `aienv chat --demo`, from the questions in this folder.

    python3.11 -m venv venv
    venv/bin/pip install torch==2.15.0 tokenizers==0.23.3 gguf==0.19.0 numpy==2.4.6
    venv/bin/python train.py                         # a quarter of an hour or more of one core
    venv/bin/python train.py --steps 100             # to see that all of it works
    venv/bin/python train.py --go-on demo.gguf --steps 300    # from what the file knows already: minutes

The seed is fixed, but processors and numbers of threads round differently: what comes out is much the same
and not the same to the last bit.
"""

import argparse
import collections
import json
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
TOKENS, DROPOUT, DECAY = 2048, 0.1, 0.1
# Of four steps three have rows of so many tokens, with one or two questions, which takes less time.
SHORT = 64
# How much it counts to tell, behind a question and before the answer, which answer it is; and how many answers
# are cut where they can be no other one, which saves time.
CHOICE, CUT = 0.5, 0.8
# How fast matrices within layers learn (by Muon), and how fast all else does (by AdamW).
RATE, RATE_ELSE = 0.02, 3e-3
# Rates, as shares of these, at parts of all steps; between them they change evenly.
STEPS, SCHEDULE = 2600, [(0.0, 0.1), (0.02, 0.6), (0.4, 0.6), (0.8, 0.15), (1.0, 0.0)]
BASE, EPSILON = 10_000.0, 1e-5
BEGIN, USER, ASSISTANT, END = SPECIAL = ["<|begin|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}<|user|>{{ message.content | trim }}<|end|>"
    "{% elif message.role == 'assistant' %}<|assistant|>{{ message.content | trim }}<|end|>"
    "{% elif message.role == 'system' %}{{ raise_exception('the demonstration model takes no system prompt') }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Files of questions that are no facts about aienv itself.
APART = ("catalogue", "unknown", "other")
# How often a question is asked of the catalogue, of tools that it lacks, and of nothing that the model knows.
SHARE_CATALOGUE, SHARE_UNKNOWN, SHARE_OTHER = 0.18, 0.05, 0.13


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

    def forward(self, x, cos, sin, later):
        rows, length, _ = x.shape
        h = self.attn_norm(x)
        q, k, v = (part(h).view(rows, length, HEADS, -1).transpose(1, 2) for part in (self.attn_q, self.attn_k, self.attn_v))
        # For rows as short as these faster than `scaled_dot_product_attention`.
        fits = rotate(q, cos, sin) @ rotate(k, cos, sin).transpose(-1, -2) * q.shape[-1] ** -0.5
        h = (fits + later).softmax(-1) @ v
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

    def states(self, ids):
        """What is known at each token."""
        x = F.dropout(self.token_embd(ids), DROPOUT, self.training)
        x = x.to(torch.bfloat16 if self.training else torch.float32)
        cos, sin = (table[: ids.shape[1]].to(x.dtype) for table in (self.cos, self.sin))
        later = torch.full((ids.shape[1],) * 2, -torch.inf, dtype=x.dtype).triu(1)
        for layer in self.blk:
            x = layer(x, cos, sin, later)
        return self.output_norm(x)

    def scores(self, states):
        """For each token of the vocabulary, how likely it is to follow."""
        return F.linear(states, self.token_embd.weight.to(states.dtype)).float()


def go_on(paths, model):
    """Takes the weights of a file that an earlier run wrote, or the mean of several."""
    weights = {}
    for path in paths:
        for tensor in gguf.GGUFReader(path).tensors:
            values = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
            if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
                values = values.view(HEADS, -1, 2, WIDTH).transpose(1, 2).reshape(WIDTH, WIDTH)
            weights[tensor.name] = weights.get(tensor.name, 0) + values / len(paths)
    model.load_state_dict(weights)


def read_tokenizer(path):
    """The tokenizer of such a file."""
    fields = gguf.GGUFReader(path).fields
    tokens, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges"))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair.split(" ")) for pair in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


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

    def __init__(self, facts, ways, tokenizer, typed):
        self.dice = random.Random(SEED)
        self.typed = typed
        self.never = {corpus.plain(question) for fact in facts for question in fact.held_out}
        self.never |= {corpus.plain(question) for _, question in typed}
        kinds = lambda wanted: [fact for fact in facts if wanted(fact.kind)]
        self.catalogue, self.other, self.unknown = (kinds(kind.__eq__) for kind in ("catalogue", "other", "unknown"))
        self.rest = kinds(lambda kind: kind not in ("catalogue", "other", "unknown"))
        self.facts, self.ways, self.tokenizer = facts, ways, tokenizer
        self.begin, self.user, self.assistant, self.end = (tokenizer.token_to_id(token) for token in SPECIAL)
        self.answers = {fact.answer: self.encode(fact.answer) for fact in facts}
        self.known = {tuple(ids): answer for answer, ids in self.answers.items()}
        self.numbers = {answer: number for number, answer in enumerate(self.answers)}
        self.decided = decided(self.answers)
        self.ids, self.weights, self.choices = [], [], []

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def question(self, fact):
        text = self.ways.other_words(fact.question(self.dice), self.dice)
        while corpus.plain(text) in self.never:
            text = self.ways.other_words(fact.question(self.dice), self.dice)
        text = self.ways.vary(text, self.dice)
        if self.dice.random() < 0.2:
            # Cut anywhere: words in other pieces than usual, as slips of the finger make them.
            cut = self.dice.randrange(1, len(text)) if len(text) > 1 else 0
            return self.encode(text[:cut]) + self.encode(text[cut:])
        return self.encode(text)

    def fact(self):
        dice = self.dice.random()
        if dice < SHARE_CATALOGUE:
            return self.dice.choice(self.catalogue)
        dice -= SHARE_CATALOGUE
        return self.dice.choice(self.unknown if dice < SHARE_UNKNOWN else self.other if dice < SHARE_UNKNOWN + SHARE_OTHER else self.rest)

    def conversation(self, length):
        """Questions and answers: mostly one or two, sometimes as many as the context holds."""
        turns = self.dice.choices([1, 2, 3, 5, 9], [45, 25, 15, 10, 5])[0]
        self.ids.append(self.begin)
        self.weights.append(0.0)
        self.choices.append(-1)
        for _ in range(turns):
            fact = self.fact()
            question, answer = self.question(fact), [*self.answers[fact.answer], self.end]
            if self.dice.random() < CUT:
                answer = answer[: self.decided[fact.answer]]
            self.ids += [self.user, *question, self.end, self.assistant, *answer]
            self.choices += [*[-1] * (len(question) + 2), self.numbers[fact.answer], *[-1] * len(answer)]
            # Questions count a little in long rows: to foretell them teaches what words go together. The first
            # tokens of an answer count most, since they decide which one it is; the rest follows from them.
            answered = [*[5.0] * 5, *[1.0] * len(answer)][: len(answer)]
            self.weights += [0.0, *[0.1 if length == CONTEXT else 0.0] * len(question), 0.0, 0.0, *answered]

    def batch(self, length):
        """Rows of so many tokens, what each counts, and where an answer is chosen, which."""
        rows = []
        for _ in range(TOKENS // length):
            # Each row begins with a conversation, so that beginnings are learned where they are.
            self.ids, self.weights, self.choices = [], [], []
            while len(self.ids) <= length:
                self.conversation(length)
            rows.append([kept[: length + 1] for kept in (self.ids, self.weights, self.choices)])
        return [torch.tensor(column) for column in zip(*rows)]


def decided(answers):
    """For each answer, how many of its tokens tell it from every other one, and two more."""
    begun = collections.Counter(tuple(ids[:size]) for ids in answers.values() for size in range(1, len(ids) + 1))
    return {
        answer: 2 + next((size for size in range(1, len(ids) + 1) if begun[tuple(ids[:size])] == 1), len(ids))
        for answer, ids in answers.items()
    }


def learn(model, talk, steps, checkpoint):
    matrices = [p for p in model.blk.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1] + [model.token_embd.weight]
    # Which answer it is, in one step: learned beside the words, and no part of the file.
    chooser = Matrix(WIDTH, len(talk.answers))
    others.append(chooser.weight)
    optimisers = [
        torch.optim.Muon(matrices, lr=RATE, momentum=0.95, weight_decay=DECAY),
        torch.optim.AdamW(others, lr=RATE_ELSE, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    done = restore(model, chooser, talk, optimisers, checkpoint)
    began, shown = time.time(), []
    model.train()
    for step in range(done, steps):
        share = np.interp(step / steps, *zip(*SCHEDULE))
        for optimiser, rate in zip(optimisers, (RATE, RATE_ELSE)):
            for group in optimiser.param_groups:
                group["lr"] = float(rate * share)
        ids, weights, choices = talk.batch(SHORT if step % 4 else CONTEXT)
        wanted, weights, choices = weights[:, 1:] > 0, weights[:, 1:], choices[:, :-1]
        states = model.states(ids[:, :-1])
        losses = F.cross_entropy(model.scores(states[wanted]), ids[:, 1:][wanted], reduction="none")
        loss = (losses * weights[wanted]).sum() / weights.sum()
        asked = choices >= 0
        loss = loss + CHOICE * F.cross_entropy(chooser(states[asked]).float(), choices[asked])
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        shown.append(loss.item())
        if (step + 1) % 25 == 0:
            print(f"step {step + 1} of {steps}, loss {sum(shown) / len(shown):.4f}, {time.time() - began:.0f} s", flush=True)
            shown.clear()
            save(model, chooser, talk, optimisers, step + 1, checkpoint)


def save(model, chooser, talk, optimisers, done, path):
    if path:
        dice = (talk.dice.getstate(), torch.get_rng_state())
        torch.save({"model": model.state_dict(), "chooser": chooser.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "done": done, "dice": dice}, path)


def restore(model, chooser, talk, optimisers, path):
    """Goes on where an earlier run with the same checkpoint was ended; gives the number of steps that it made."""
    if not (path and path.exists()):
        return 0
    saved = torch.load(path, weights_only=False)
    model.load_state_dict(saved["model"])
    chooser.load_state_dict(saved["chooser"])
    for optimiser, state in zip(optimisers, saved["optimisers"]):
        optimiser.load_state_dict(state)
    talk.dice.setstate(saved["dice"][0])
    torch.set_rng_state(saved["dice"][1])
    return saved["done"]


@torch.no_grad()
def answer(model, talk, question, right):
    """What is answered, by greedy decoding: one of the facts' answers, or None for anything else.

    Greedy decoding gives the right answer exactly when every token of it is the likeliest one behind those
    before it, which takes one step to see.
    """
    ids = [talk.begin, talk.user, *talk.encode(question), talk.end, talk.assistant]
    wanted = [*talk.answers[right], talk.end]
    states = model.states(torch.tensor([ids + wanted[:-1]]))[0, len(ids) - 1 :]
    if model.scores(states).argmax(-1).tolist() == wanted:
        return right
    asked = len(ids)
    while ids[-1] != talk.end and len(ids) < CONTEXT:
        ids.append(int(model.scores(model.states(torch.tensor([ids]))[0, -1]).argmax()))
    return talk.known.get(tuple(ids[asked:-1]))


def test(model, talk):
    """Prints how questions that were held out are answered; gives those that are answered wrongly.

    Of wrong answers those that say that the model does not know are counted apart: they mislead nobody.
    """
    model.eval()
    declining = {fact.answer for fact in talk.other + talk.unknown}
    asked = [(fact.kind, fact, corpus.proper(question)) for fact in talk.facts for question in fact.held_out]
    asked += [("typed: other" if fact in talk.other else "typed: facts", fact, question) for fact, question in talk.typed]
    tally, wrong = collections.defaultdict(collections.Counter), []
    for kind, fact, question in asked:
        given = answer(model, talk, question, fact.answer)
        verdict = "right" if given == fact.answer else "declined" if given in declining else "wrong"
        groups = [kind] if kind in APART or kind.startswith("typed") else [kind, "about aienv"]
        for group in groups:
            tally[group][verdict] += 1
        if verdict != "right":
            wrong.append((question, given))
    for group, counts in sorted(tally.items()):
        print(f"  {group}: {counts['right']} of {counts.total()} right, {counts['declined']} declined, {counts['wrong']} wrong", flush=True)
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
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--checkpoint", type=pathlib.Path, help="save here now and then, and go on from here")
    parser.add_argument("--go-on", type=pathlib.Path, nargs="+", help="begin with the tokenizer and the weights of a file, or the mean of several that began with one, not with chance")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=corpus.HERE / "demo.gguf")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    facts, ways = corpus.facts(), corpus.Ways()
    tokenizer = read_tokenizer(args.go_on[0]) if args.go_on else make_tokenizer(facts, ways)
    model = Model(tokenizer.get_vocab_size())
    if args.go_on:
        go_on(args.go_on, model)
    talk = Talk(facts, ways, tokenizer, list(corpus.typed(facts)))
    size = sum(p.numel() for p in model.parameters())
    print(f"{len(facts)} facts, {tokenizer.get_vocab_size()} tokens, {size / 1e6:.2f} million parameters", flush=True)
    if args.steps:
        learn(model, talk, args.steps, args.checkpoint)
    export(model, tokenizer, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")
    for question, given in test(model, talk):
        print(f"  wrong: {question} -> {given}")


if __name__ == "__main__":
    main()
