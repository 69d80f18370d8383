"""Writes what llama.cpp makes of texts, for `cargo run -p aienv-engine --example vocabularies`.

    pip install xllamacpp
    python engine/checks/tokenize_reference.py OUT VOCABULARY.gguf... [--texts N] [--pre KIND...]

For each vocabulary OUT gets NAME.ids.json, a list of {text, ids, ids_special}, and a link NAME.gguf.
With `--pre` each vocabulary is also checked with its `tokenizer.ggml.pre` replaced by each KIND, or by
every kind of the table with `--pre all`.

The library is called through its C interface; the wheel of `xllamacpp` exports it.
"""

import argparse
import ctypes
import glob
import importlib.util
import json
import os
import random
import struct
import sys
import unicodedata


class Params(ctypes.Structure):
    """llama_model_params, by value: more room than it needs, since only its start is looked at."""

    _fields_ = [("bytes", ctypes.c_uint8 * 512)]


VOCAB_ONLY = 72  # offset of the flag in bytes


def library():
    where = os.path.dirname(importlib.util.find_spec("xllamacpp").origin)
    lib = ctypes.CDLL(glob.glob(os.path.join(where, "xllamacpp*.so"))[0])
    lib.llama_model_default_params.restype = Params
    lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
    lib.llama_model_load_from_file.restype = ctypes.c_void_p
    lib.llama_model_free.argtypes = [ctypes.c_void_p]
    lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
    lib.llama_model_get_vocab.restype = ctypes.c_void_p
    lib.llama_tokenize.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32,
        ctypes.POINTER(ctypes.c_int32), ctypes.c_int32, ctypes.c_bool, ctypes.c_bool,
    ]
    log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    lib.quiet = log(lambda *_: None)
    lib.llama_log_set.argtypes = [log, ctypes.c_void_p]
    lib.llama_log_set(lib.quiet, None)
    return lib


def tokenize(lib, vocab, text, special):
    data = text.encode()
    room = len(data) + 16
    ids = (ctypes.c_int32 * room)()
    count = lib.llama_tokenize(vocab, data, len(data), ids, room, special, special)
    assert count >= 0, text
    return list(ids[:count])


WORDS = (
    "Hello world the quick brown fox isn't it's WE'LL don't I'm 've 're 'd naïve café Ünïcödé привет мир "
    "世界 你好 こんにちは カタカナ 안녕하세요 ไทย हिन्दी नमस्ते العربية שלום ქართული አማርኛ 123 4567 1234567890 3.14 ½ ² Ⅷ ① ١٢٣ "
    "foo_bar fooBar FooBAR HTTPServer https://example.com/a?b=c&d user@example.com x+=1; {\"a\":[1,2]} "
    "== != -> => :: // /* */ ... … — “quoted” ‘single’ `tick` $100 €50 100% #tag @me \\n <html> </s> "
    "<|im_start|> <|endoftext|> <0x0A> ▁ Ġ 🚀 👨‍👩‍👧 👍🏽 🇫🇷 e\u0301 \u0301 a\u0308\u0301 ﬁ Ａ１ "
    "IMGIMGABZ <sentinel:12> İstanbul Straße ǅ ŉ K Å \u00ad \u200b \ufeff \u3000 \u00a0 \u2028 \u0085 \x00 \x07 \x1c \ue000 \U000e0001"
).split(" ")
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", "", "", "", " " * 9, "\u3000", "\u00a0"]


def alphabet():
    by_category = {}
    for code in range(0x110000):
        char = chr(code)
        category = unicodedata.category(char)
        # Unassigned ones differ between versions of Unicode.
        if category not in ("Cs", "Cn"):
            by_category.setdefault(category, []).append(char)
    return list(by_category.values())


def random_texts(count, seed):
    rng = random.Random(seed)
    letters = alphabet()
    for index in range(count):
        size = rng.choice([1, 2, 4, 8, 16])
        if index % 3 == 0:
            yield "".join(rng.choice(rng.choice(letters)) for _ in range(size))
        elif index % 3 == 1:
            yield "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(size))
        else:
            pieces = [lambda: rng.choice(WORDS), lambda: rng.choice(SPACES),
                      lambda: rng.choice(rng.choice(letters)), lambda: rng.choice("'’.,!?0123456789 aZ\n")]
            yield "".join(rng.choice(pieces)() for _ in range(size * 2))


def kinds_of_the_table():
    import tomllib
    table = os.path.join(os.path.dirname(__file__), "../src/tokenizer/pre.toml")
    with open(table, "rb") as file:
        return [row["names"][0] for row in tomllib.load(file)["kinds"]]


def with_pre(path, kind, out):
    """Copies a vocabulary-only file with another kind of pre-tokenizer, by its bytes."""
    with open(path, "rb") as file:
        data = file.read()
    key = b"tokenizer.ggml.pre"
    value = struct.pack("<IQ", 8, len(kind)) + kind.encode()
    marked = struct.pack("<Q", len(key)) + key
    at = data.find(marked)
    if at >= 0:
        start = at + len(marked)
        length = struct.unpack_from("<Q", data, start + 4)[0]
        data = data[:start] + value + data[start + 12 + length:]
    else:
        count = struct.unpack_from("<Q", data, 16)[0]
        data = data[:16] + struct.pack("<Q", count + 1) + marked + value + data[24:]
    with open(out, "wb") as file:
        file.write(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("vocabularies", nargs="+")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pre", nargs="*", default=[])
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    lib = library()
    kinds = kinds_of_the_table() if args.pre == ["all"] else args.pre
    files = []
    for path in args.vocabularies:
        name = os.path.basename(path).removesuffix(".gguf").removeprefix("ggml-vocab-")
        for kind in kinds:
            out = os.path.join(args.out, f"{name}-as-{kind}.gguf")
            with_pre(path, kind, out)
            files.append((f"{name}-as-{kind}", out))
        if not kinds:
            link = os.path.join(args.out, f"{name}.gguf")
            if not os.path.exists(link):
                os.symlink(os.path.abspath(path), link)
            files.append((name, link))
    for name, path in files:
        params = lib.llama_model_default_params()
        params.bytes[VOCAB_ONLY] = 1
        model = lib.llama_model_load_from_file(path.encode(), params)
        if not model:
            print(f"{name}: llama.cpp cannot load it", file=sys.stderr)
            continue
        vocab = lib.llama_model_get_vocab(model)
        rows = [{"text": text, "ids": tokenize(lib, vocab, text, False), "ids_special": tokenize(lib, vocab, text, True)}
                for text in random_texts(args.texts, args.seed)]
        lib.llama_model_free(model)
        with open(os.path.join(args.out, f"{name}.ids.json"), "w") as file:
            json.dump(rows, file)
        print(f"{name}: {len(rows)} texts")


if __name__ == "__main__":
    main()
