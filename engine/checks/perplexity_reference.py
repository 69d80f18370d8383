"""Perplexity of a model of the shape of Llama 3.2 1B, of llama.cpp and of this engine, at each tensor type.

    pip install xllamacpp gguf numpy
    cargo build --release -p aienv-engine --example perplexity
    python engine/checks/perplexity_reference.py FOLDER target/release/examples/perplexity [--types Q8_0 ...]

The model is synthetic: 16 layers of 2048 numbers, 973 million weights in its layers, a vocabulary of
8192. Its weights are random, and scaled so that what it says depends on all of them:

- The embedding of a token is a third of the variance that the last norm sees; the layers make the rest,
  in equal parts. Scores of attention spread enough (a standard deviation of 2.5) for few tokens to
  take most of the weight.
- The row of the output matrix for a token is in part the embedding of the token that precedes it in a
  fixed permutation, so that one continuation stands out. The rest is random.
- The text is drawn from the model itself, at F16, by its probabilities. So its perplexity is that of a
  model that knows its text (the exponential of its entropy), far below the size of the vocabulary, and
  each error in the logits raises it.

All layers have the same rows in another order, each matrix in its own, which makes them different
functions, and lets one layer be quantised for all.

For each type the file is made by llama.cpp's quantiser. Columns: perplexity by llama.cpp with the file
itself and an F16 cache, by this engine with exact products and an F16 cache, and with quantised ones;
behind ours, how far they are from llama.cpp's. For the types of `--truth` also by this engine with an
F32 cache, and by llama.cpp with the weights dequantised to F32 by the `gguf` package and an F32 cache,
which nothing rounds: the truth. All measure as `llama-perplexity` does: the second half of each window.

FOLDER needs 9 GB. Only one process at a time computes.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import gguf
import numpy

import tokenize_reference

DIM, LAYERS, FFN, HEADS, KV_HEADS, VOCAB = 2048, 16, 8192, 32, 8, 8192
HEAD = DIM // HEADS
SHAPES = {
    "attn_q": (DIM, DIM), "attn_k": (KV_HEADS * HEAD, DIM), "attn_v": (KV_HEADS * HEAD, DIM),
    "attn_output": (DIM, DIM), "ffn_gate": (FFN, DIM), "ffn_up": (FFN, DIM), "ffn_down": (DIM, FFN),
}
# By what the entries, of a standard deviation of one over the root of a row's length, are multiplied.
SCALES = {"attn_q": 1.6, "attn_k": 1.6, "attn_output": 0.4, "ffn_down": 0.4}
# How much of a row of the output matrix is the embedding of a token before it; how large scores are.
FORETOLD, SHARPNESS = 0.22, 2.0
TYPES = (
    "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 "
    "IQ3_S IQ3_XXS IQ2_S IQ2_XS IQ2_XXS IQ1_S IQ1_M TQ1_0 TQ2_0"
).split()


def weights():
    """One layer's matrices, the embeddings and the output matrix, as F16."""
    rng = numpy.random.default_rng(20240)
    normal = lambda rows, columns: rng.standard_normal((rows, columns), dtype=numpy.float32)
    made = {name: normal(*shape) * (SCALES.get(name, 1.0) / shape[1] ** 0.5) for name, shape in SHAPES.items()}
    embedding = normal(VOCAB, DIM)
    before = rng.permutation(VOCAB)
    output = FORETOLD * embedding[before] + (1 - FORETOLD**2) ** 0.5 * normal(VOCAB, DIM)
    made |= {"token_embd": embedding, "output": output * (SHARPNESS / DIM**0.5)}
    return {name: matrix.astype(numpy.float16) for name, matrix in made.items()}


def orders():
    """The order of rows of each matrix of each layer."""
    rng = numpy.random.default_rng(20241)
    return [{name: rng.permutation(shape[0]) for name, shape in SHAPES.items()} for _ in range(LAYERS)]


def write(path, matrices, kind):
    """Writes a model; `matrices` as `weights` names them, rows of numbers or of blocks of type `kind`."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(4096)
    writer.add_embedding_length(DIM)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("none")
    ones = numpy.ones(DIM, dtype=numpy.float32)
    plan = [(f"{name}.weight", name, None) for name in ("token_embd", "output")]
    plan += [(f"blk.{layer}.{name}.weight", name, rows[name]) for layer, rows in enumerate(orders()) for name in SHAPES]
    for name, source, _ in plan:
        matrix = matrices[source]
        writer.add_tensor_info(name, matrix.shape, matrix.dtype, matrix.nbytes, raw_dtype=kind)
    norms = ["output_norm.weight"]
    norms += [f"blk.{layer}.{name}_norm.weight" for layer in range(LAYERS) for name in ("attn", "ffn")]
    for name in norms:
        writer.add_tensor_info(name, ones.shape, ones.dtype, ones.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, source, order in plan:
        writer.write_tensor_data(matrices[source] if order is None else matrices[source][order])
    for _ in norms:
        writer.write_tensor_data(ones)
    writer.close()


class Params(ctypes.Structure):
    """llama_context_params, by value; the numbers are offsets in bytes."""

    _fields_ = [("bytes", ctypes.c_uint8 * 512)]
    CONTEXT, BATCH, UBATCH, SEQUENCES, THREADS, THREADS_BATCH, FLASH, TYPE_K, TYPE_V = 0, 4, 8, 12, 28, 32, 52, 104, 108
    DEFAULTS = {CONTEXT: 512, BATCH: 2048, UBATCH: 512, SEQUENCES: 1, THREADS: 4, THREADS_BATCH: 4, FLASH: -1,
                TYPE_K: 1, TYPE_V: 1}

    def get(self, offset):
        return ctypes.c_int32.from_buffer(self, offset).value

    def set(self, offset, value):
        ctypes.c_int32.from_buffer(self, offset).value = value


class Batch(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)), ("sequences", ctypes.POINTER(ctypes.c_int32)),
        ("sequence", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


class Reference:
    """llama.cpp, through its C interface."""

    def __init__(self):
        self.lib = lib = tokenize_reference.library()
        lib.llama_context_default_params.restype = Params
        lib.llama_init_from_model.argtypes = [ctypes.c_void_p, Params]
        lib.llama_init_from_model.restype = ctypes.c_void_p
        lib.llama_get_memory.argtypes = [ctypes.c_void_p]
        lib.llama_get_memory.restype = ctypes.c_void_p
        lib.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        lib.llama_batch_init.argtypes = [ctypes.c_int32] * 3
        lib.llama_batch_init.restype = Batch
        lib.llama_batch_free.argtypes = [Batch]
        lib.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        lib.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        lib.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        lib.llama_free.argtypes = [ctypes.c_void_p]
        lib.ggml_quantize_chunk.argtypes = [
            ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
            ctypes.c_void_p]
        lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        lib.ggml_quantize_init.argtypes = [ctypes.c_int]
        lib.llama_backend_init()

    def quantize(self, matrix, kind, threads):
        """Rows of blocks, each weight as important as the others."""
        block, size = gguf.GGML_QUANT_SIZES[kind]
        rows, columns = matrix.shape
        out = numpy.empty((rows, columns // block * size), dtype=numpy.uint8)
        importance = numpy.ones(columns, dtype=numpy.float32)
        self.lib.ggml_quantize_init(kind)

        def part(start):
            numbers = numpy.ascontiguousarray(matrix[start:start + 64], dtype=numpy.float32)
            self.lib.ggml_quantize_chunk(
                kind, numbers.ctypes.data, out[start:].ctypes.data, 0, len(numbers), columns, importance.ctypes.data)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, range(0, rows, 64)))
        return out

    def open(self, path, context, sequences, cache, threads):
        model = self.lib.llama_model_load_from_file(path.encode(), self.lib.llama_model_default_params())
        assert model, f"llama.cpp cannot load {path}"
        params = self.lib.llama_context_default_params()
        for offset, value in Params.DEFAULTS.items():
            assert params.get(offset) == value, "this version of llama.cpp has other parameters"
        for offset, value in [
            (Params.CONTEXT, context), (Params.BATCH, context), (Params.SEQUENCES, sequences), (Params.FLASH, 0),
            (Params.THREADS, threads), (Params.THREADS_BATCH, threads), (Params.TYPE_K, cache), (Params.TYPE_V, cache),
        ]:
            params.set(offset, value)
        opened = self.lib.llama_init_from_model(model, params)
        assert opened, f"llama.cpp has no context for {path}"
        return model, opened

    def close(self, model, context):
        self.lib.llama_free(context)
        self.lib.llama_model_free(model)

    def decode(self, context, tokens):
        """Evaluates (token, position, sequence, wanted) and gives the logits of the wanted ones."""
        batch = self.lib.llama_batch_init(len(tokens), 0, 1)
        batch.count = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.sequences[i], batch.sequence[i][0] = 1, sequence
        assert self.lib.llama_decode(context, batch) == 0
        rows = [numpy.ctypeslib.as_array(self.lib.llama_get_logits_ith(context, i), (VOCAB,)).copy()
                for i, token in enumerate(tokens) if token[3]]
        self.lib.llama_batch_free(batch)
        return numpy.array(rows)

    def draw(self, path, windows, window, threads):
        """Texts of a model's own, by its probabilities: one for each window."""
        rng = numpy.random.default_rng(20242)
        model, context = self.open(path, windows * window, windows, 1, threads)
        texts = [[int(token)] for token in rng.integers(0, VOCAB, windows)]
        while len(texts[0]) < window:
            at = len(texts[0]) - 1
            rows = self.decode(context, [(text[at], at, i, True) for i, text in enumerate(texts)])
            for text, row in zip(texts, rows):
                chances = numpy.exp(row.astype(numpy.float64) - row.max())
                text.append(int(rng.choice(VOCAB, p=chances / chances.sum())))
        self.close(model, context)
        return [token for text in texts for token in text]

    def perplexity(self, path, text, window, cache, threads):
        model, context = self.open(path, window, 1, cache, threads)
        surprises = []
        for start in range(0, len(text) - window + 1, window):
            part = text[start:start + window]
            self.lib.llama_memory_clear(self.lib.llama_get_memory(context), True)
            tokens = [(token, i, 0, i >= window // 2) for i, token in enumerate(part[:-1])]
            rows = self.decode(context, tokens).astype(numpy.float64)
            rows -= rows.max(axis=1, keepdims=True)
            wanted = rows[numpy.arange(len(rows)), part[window // 2 + 1:]]
            surprises += list(numpy.log(numpy.exp(rows).sum(axis=1)) - wanted)
        self.close(model, context)
        return float(numpy.exp(numpy.mean(surprises)))


def measure(reference, made, name, args, text):
    """All columns for one type."""
    kind = gguf.GGMLQuantizationType[name]
    path, exact = (os.path.join(args.folder, file) for file in ("model.gguf", "exact.gguf"))
    if name in ("F32", "F16"):
        rows = {key: matrix.astype(numpy.float32 if name == "F32" else numpy.float16) for key, matrix in made.items()}
        write(path, rows, None)
    else:
        rows = {key: reference.quantize(matrix, kind, args.threads) for key, matrix in made.items()}
        write(path, rows, kind)
    row = {"llama.cpp": reference.perplexity(path, text, args.window, 1, args.threads)}
    with open(os.path.join(args.folder, "part.json"), "w") as file:
        json.dump(text, file)
    ways = ["exact-f16", "quantised-f16"] + ["exact-f32"] * (name in args.truth)
    command = [args.engine, path, file.name, str(args.window), str(args.threads), *ways]
    row |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    os.remove(path)
    if name in args.truth:
        write(exact, {key: gguf.quants.dequantize(matrix, kind) for key, matrix in rows.items()}, None)
        row["truth"] = reference.perplexity(exact, text, args.window, 0, args.threads)
        os.remove(exact)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("engine")
    parser.add_argument("--types", nargs="*", default=TYPES)
    parser.add_argument("--truth", nargs="*", default=["F16", "Q8_0", "Q4_0", "Q4_K", "IQ4_XS"])
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    reference, made = Reference(), weights()
    chosen = os.path.join(args.folder, "text.json")
    if not os.path.exists(chosen):
        base = os.path.join(args.folder, "base.gguf")
        write(base, made, None)
        text = reference.draw(base, args.windows, args.window, args.threads)
        os.remove(base)
        with open(chosen, "w") as file:
            json.dump(text, file)
    with open(chosen) as file:
        text = json.load(file)[:args.windows * args.window]
    print(f"{len(text)} tokens in windows of {args.window}")
    print(f"{'type':8} {'llama.cpp':>11} {'exact-f16':>21} {'quantised-f16':>21} {'truth':>11} {'exact-f32':>23}", flush=True)
    for name in args.types:
        start = time.monotonic()
        row = measure(reference, made, name, args, text)
        beside = lambda column, to, digits=3: f"{row[column]:11.4f} {100 * (row[column] / row[to] - 1):+{5 + digits}.{digits}f}%"
        line = f"{name:8} {row['llama.cpp']:11.4f} {beside('exact-f16', 'llama.cpp')} {beside('quantised-f16', 'llama.cpp')}"
        if "truth" in row:
            line += f" {row['truth']:11.4f} {beside('exact-f32', 'truth', 5)}"
        print(line, flush=True)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
