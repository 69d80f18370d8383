"""Makes the small vocabularies in `engine/tests/vocabularies` and the ids that llama.cpp gives for them.

    pip install tokenizers sentencepiece protobuf gguf xllamacpp
    python engine/checks/make_small_vocabularies.py

Each is trained on the text below, so they are ours. For each kind: NAME.gguf, which llama.cpp reads, and
NAME.ids.json, a list of [text, ids, ids with special tokens].
"""

import io
import json
import os

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import tokenize_reference as reference

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../tests/vocabularies")
CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't mind; it's used to it by now.",
    "An environment manager for local models: it plans, installs and repairs what a tool needs.",
    "Models are files. A file says how many layers it has, how text becomes tokens, and what it was for.",
    "Ein Sprachmodell rechnet; es weiß nichts, aber es rät gut. Über Straßen läuft der Fuchs.",
    "Модель — это файл. Лиса прыгает через собаку. 世界は広い。你好，世界！ 안녕하세요 세계",
    "def f(x):\n    return x ** 2  # squares\n\nfor i in range(10):\n    print(f(i), end=' ')\n",
    "In 2024 there were 1,234,567 of them; 3.14159 is not 22/7. Naïve café résumé, e\u0301!",
] * 20
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def writer(name, model, tokens, types, scores=None):
    out = gguf.GGUFWriter(os.path.join(OUT, f"{name}.gguf"), "llama")
    out.add_tokenizer_model(model)
    out.add_token_list(tokens)
    out.add_token_types(types)
    if scores is not None:
        out.add_token_scores(scores)
    return out


def finish(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()


def bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=SPECIAL)
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    types = [CONTROL if token in SPECIAL else NORMAL for token in tokens]
    for name, pre in (("bpe-gpt-2", "gpt-2"), ("bpe-llama-bpe", "llama-bpe"), ("bpe-tekken", "tekken")):
        out = writer(name, "gpt2", tokens, types)
        out.add_tokenizer_pre(pre)
        out.add_token_merges(merges)
        out.add_bos_token_id(0)
        out.add_eos_token_id(1)
        finish(out)


def sentencepiece_model(kind, size):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in CORPUS for line in text.split("\n") if line), model_writer=model,
        model_type=kind, vocab_size=size, byte_fallback=kind == "bpe", character_coverage=0.98,
        user_defined_symbols=["<|im_start|>", "<|im_end|>"], minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    # The numbers of SentencePiece's kinds are those of GGUF.
    return proto, [p.piece for p in proto.pieces], [p.type for p in proto.pieces], [p.score for p in proto.pieces]


def spm():
    _, tokens, types, scores = sentencepiece_model("bpe", 700)
    out = writer("spm", "llama", tokens, types, scores)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    finish(out)


def unigram():
    proto, tokens, types, scores = sentencepiece_model("unigram", 150)
    out = writer("unigram", "t5", tokens, types, scores)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_add_space_prefix(True)
    out.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)
    out.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)
    finish(out)


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator((text.lower() for text in CORPUS), trainers.WordPieceTrainer(vocab_size=500, special_tokens=special))
    vocab = tokenizer.get_vocab()
    tokens, types = [], []
    for token in sorted(vocab, key=vocab.get):
        control = token in special
        types.append(CONTROL if control else NORMAL)
        tokens.append(token if control else token[2:] if token.startswith("##") else "\u2581" + token)
    out = writer("wordpiece", "bert", tokens, types)
    out.add_pad_token_id(0)
    out.add_unk_token_id(1)
    out.add_bos_token_id(2)
    out.add_sep_token_id(3)
    out.add_mask_token_id(4)
    finish(out)


def main():
    os.makedirs(OUT, exist_ok=True)
    bpe()
    spm()
    unigram()
    wordpiece()
    lib = reference.library()
    texts = CORPUS[:7] + ["", " ", "<s>hi</s>", "<|im_start|>user\nhi<|im_end|>\n", "▁▁ x", "<0x0A>"]
    texts += list(reference.random_texts(150, 11))
    for path in sorted(os.listdir(OUT)):
        name = path.removesuffix(".gguf")
        if name == path:
            continue
        params = lib.llama_model_default_params()
        params.bytes[reference.VOCAB_ONLY] = 1
        model = lib.llama_model_load_from_file(os.path.join(OUT, path).encode(), params)
        assert model, path
        vocab = lib.llama_model_get_vocab(model)
        rows = [[text, reference.tokenize(lib, vocab, text, False), reference.tokenize(lib, vocab, text, True)] for text in texts]
        with open(os.path.join(OUT, f"{name}.ids.json"), "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")
        print(name, len(rows))


if __name__ == "__main__":
    main()
