"""What llama.cpp and this engine make of the same tokens, model by model.

    pip install xllamacpp gguf numpy
    cargo build --release -p aienv-engine --example logits
    python engine/checks/logits_reference.py target/release/examples/logits [--only PART...] [MODEL.gguf...]

Without models: those of `tests/data/architectures`, and random ones in the forms that models have in the
wild (`logits_models.py`). Of each a copy is taken with its weights in F32 and no tokenizer, and run by
both with an f32 cache, so that the two differ by nothing but the order of sums.

Columns: the normalised mean squared error between the logits of some tokens (of an encoder, between the
vectors of the tokens), and whether the next 32 ids are the same when the likeliest is taken each time (of an
encoder, the error of each pooling: mean, first token, last token). The exit status is 1 if a model is off.
"""

import argparse
import ctypes
import glob
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy

import logits_models
from perplexity_reference import Params, Reference

HERE = os.path.dirname(os.path.abspath(__file__))
MORE, CONTEXT = 32, 256
POOLING = 44  # offset of the kind in llama_context_params
POOLINGS = {"mean": 1, "cls": 2, "last": 3}
MOST = 1e-9
# llama.cpp looks up the Gaussian error unit in a table of 16-bit floats; its rotation for pictures (vl) is as far
# off from its plain one for the same text.
ROUNDED, MOST_ROUNDED = ("gemma", "starcoder", "bert", "nomic-bert-moe", "modern-bert", "phi2", "gpt2", "qwen2vl", "qwen3vl"), 1e-5


def unrounded(path, out):
    """Copies a model with all weights in F32 and without a tokenizer."""
    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, arch)
    writer.add_tokenizer_model("none")
    names = [tensor.name for tensor in reader.tensors]
    tokens = reader.tensors[names.index("token_embd.weight")]
    for key, field in reader.fields.items():
        passed = key.startswith(("GGUF.", "test.", "general.architecture", "tokenizer.", f"{arch}.vocab_size"))
        if passed and key != "tokenizer.ggml.token_type_count":
            continue
        value = field.contents()
        part = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], part)
    writer.add_vocab_size(int(tokens.shape[1]))
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        writer.add_tensor(tensor.name, values.reshape(tuple(int(n) for n in reversed(tensor.shape))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def facts(path):
    reader = gguf.GGUFReader(path)
    vocab = next(int(tensor.shape[1]) for tensor in reader.tensors if tensor.name == "token_embd.weight")
    arch = reader.fields["general.architecture"].contents()
    width = int(reader.fields[f"{arch}.embedding_length"].contents())
    return arch, vocab, width, "bert" in arch or "embedding" in arch


class Beside(Reference):
    """llama.cpp with what is asked of it here."""

    def __init__(self):
        super().__init__()
        row = ctypes.POINTER(ctypes.c_float)
        self.lib.llama_set_embeddings.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        self.lib.llama_get_embeddings_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        self.lib.llama_get_embeddings_ith.restype = row
        self.lib.llama_get_embeddings_seq.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        self.lib.llama_get_embeddings_seq.restype = row

    def context(self, path, pooling=0):
        model = self.lib.llama_model_load_from_file(path.encode(), self.lib.llama_model_default_params())
        if not model:
            return None, None
        params = self.lib.llama_context_default_params()
        assert params.get(POOLING) == -1 and all(
            params.get(offset) == value for offset, value in Params.DEFAULTS.items()
        ), "this version of llama.cpp has other parameters"
        for offset, value in [
            (Params.CONTEXT, CONTEXT), (Params.BATCH, CONTEXT), (Params.UBATCH, CONTEXT), (Params.SEQUENCES, 1),
            (Params.FLASH, 0), (Params.THREADS, 1), (Params.THREADS_BATCH, 1), (Params.TYPE_K, 0), (Params.TYPE_V, 0),
            (POOLING, pooling),
        ]:
            params.set(offset, value)
        return model, self.lib.llama_init_from_model(model, params)

    def rows(self, context, tokens, first, width, get):
        batch = self.lib.llama_batch_init(len(tokens), 0, 1)
        batch.count = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, first + i, True
            batch.sequences[i], batch.sequence[i][0] = 1, 0
        assert self.lib.llama_decode(context, batch) == 0
        rows = [numpy.ctypeslib.as_array(get(context, i), (width,)).copy() for i in range(len(tokens))]
        self.lib.llama_batch_free(batch)
        return numpy.array(rows)

    def logits(self, path, tokens, vocab):
        model, context = self.context(path)
        if not context:
            return None, None
        get = self.lib.llama_get_logits_ith
        rows = self.rows(context, tokens, 0, vocab, get)
        last, greedy = rows, []
        for i in range(MORE):
            greedy.append(int(last[-1].argmax()))
            last = self.rows(context, greedy[-1:], len(tokens) + i, vocab, get)
        self.close(model, context)
        return rows, greedy

    def vectors(self, path, tokens, width):
        pooled, rows = {}, None
        for name, kind in {"each": 0, **POOLINGS}.items():
            model, context = self.context(path, kind)
            if not context:
                return None, None
            self.lib.llama_set_embeddings(context, True)
            if kind == 0:
                rows = self.rows(context, tokens, 0, width, self.lib.llama_get_embeddings_ith)
            else:
                of_text = lambda context, _: self.lib.llama_get_embeddings_seq(context, 0)
                pooled[name] = self.rows(context, tokens, 0, width, of_text)[0]
            self.close(model, context)
        return rows, pooled


def nmse(got, wanted):
    return float(((got.astype(numpy.float64) - wanted) ** 2).sum() / (wanted.astype(numpy.float64) ** 2).sum())


def compare(reference, engine, path, folder, count):
    """What is off, if anything, and the columns."""
    arch, vocab, width, encoder = facts(path)
    most = MOST_ROUNDED if arch.startswith(ROUNDED) else MOST
    tokens = [int(token) for token in numpy.random.default_rng(5).integers(0, vocab, count)]
    ids, out = os.path.join(folder, "ids.json"), os.path.join(folder, "out.f32")
    with open(ids, "w") as file:
        json.dump(tokens, file)
    wanted, follows = (reference.vectors(path, tokens, width) if encoder else reference.logits(path, tokens, vocab))
    done = subprocess.run([engine, path, ids, str(CONTEXT), str(MORE), out], capture_output=True, text=True)
    if wanted is None or done.returncode:
        told = done.stderr.strip().replace(path, "") or "runs"
        return wanted is not None, f"llama.cpp {'refuses' if wanted is None else 'runs'}; ours {told}"
    got = numpy.fromfile(out, dtype="<f4").reshape(wanted.shape)
    found = json.loads(done.stdout)
    error = nmse(got, wanted)
    if encoder:
        errors = [nmse(numpy.array(found[name]), follows[name]) for name in POOLINGS]
        return max(error, *errors) > most, f"{error:9.1e}  {'  '.join(f'{e:.1e}' for e in errors)}"
    same = next((i for i, (a, b) in enumerate(zip(found["greedy"], follows)) if a != b), MORE)
    return error > most or same < MORE, f"{error:9.1e}  {'equal' if same == MORE else f'differ after {same}'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--tokens", type=int, default=28, help=f"together with the {MORE} that follow at most {CONTEXT}")
    parser.add_argument("--only", nargs="*", help="parts of names")
    args = parser.parse_args()
    reference, off = Beside(), 0
    stored = sorted(glob.glob(os.path.join(HERE, "../tests/data/architectures/*.gguf")))
    files = [(os.path.basename(path).removesuffix(".gguf"), path) for path in args.models or stored]
    made = [] if args.models else [model for some in logits_models.MODELS for model in some()]
    wanted = lambda name: not args.only or any(part in name for part in args.only)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.gguf")
        for name, source in [*files, *((model.name, model) for model in made)]:
            if not wanted(name):
                continue
            if isinstance(source, logits_models.Model):
                source.write(path)
            else:
                unrounded(source, path)
            bad, told = compare(reference, args.engine, path, folder, args.tokens)
            off += bad
            print(f"{'OFF' if bad else '   '} {name:24} {told}", flush=True)
    print(f"{off} off")
    sys.exit(min(off, 1))


if __name__ == "__main__":
    main()
