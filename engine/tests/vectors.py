"""Test vectors of the tensor types, made and checked with an implementation that is not ours.

The `gguf` package of the Python package index reads and writes the format and dequantises every
type in NumPy. Needed: `pip install gguf`. From the folder `engine`:

    python tests/vectors.py            # write tests/data/types.gguf
    python tests/vectors.py --check    # compare the file, the grids and fresh blocks
    python tests/vectors.py --grids    # write src/quant/grids/*.bin

`--check` runs `cargo run --example dequantize` on random blocks that are in no file, and reads what
`cargo run --example copy` writes.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants

HERE = pathlib.Path(__file__).parent
VECTORS = HERE / "data" / "types.gguf"
GRIDS = HERE.parent / "src" / "quant" / "grids"

TYPES = [
    Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0,
    Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ1_S, Type.IQ1_M, Type.IQ2_XXS,
    Type.IQ2_XS, Type.IQ2_S, Type.IQ3_XXS, Type.IQ3_S, Type.IQ4_NL, Type.IQ4_XS, Type.TQ1_0,
    Type.TQ2_0, Type.MXFP4,
]

# Where each type's half-precision numbers lie in a block. IQ1_M spreads its one over the top four
# bits of four 16-bit numbers, and MXFP4 has none.
HALVES = {
    Type.F16: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
    Type.Q8_0: [0], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2],
    Type.Q6_K: [208], Type.IQ1_S: [0], Type.IQ2_XXS: [0], Type.IQ2_XS: [0], Type.IQ2_S: [0],
    Type.IQ3_XXS: [0], Type.IQ3_S: [0], Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.TQ1_0: [52],
    Type.TQ2_0: [64],
}

GRID_TYPES = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]


def blocks(rng, ty, count):
    """Random blocks: any bits, but no infinities and no NaN, which equal nothing."""
    _, size = gguf.GGML_QUANT_SIZES[ty]
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    if ty == Type.F32 or ty == Type.BF16:
        high = raw[:, -1]
        raw[:, -1] = np.where(high & 0x7F == 0x7F, high ^ 0x20, high)
    for at in HALVES.get(ty, []):
        high = raw[:, at + 1]
        raw[:, at + 1] = np.where(high & 0x7C == 0x7C, high ^ 0x20, high)
    if ty == Type.IQ1_M:
        high = raw[:, 55]
        raw[:, 55] = np.where(high & 0x70 == 0x70, high ^ 0x20, high)
    return raw


def write_vectors():
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(VECTORS, "vectors")
    writer.add_custom_alignment(64)
    writer.add_uint8("number.u8", 200)
    writer.add_int8("number.i8", -100)
    writer.add_uint16("number.u16", 60000)
    writer.add_int16("number.i16", -30000)
    writer.add_uint32("number.u32", 4_000_000_000)
    writer.add_int32("number.i32", -2_000_000_000)
    writer.add_uint64("number.u64", 2**63 + 1)
    writer.add_int64("number.i64", -(2**62))
    writer.add_float32("number.f32", 0.1)
    writer.add_float64("number.f64", 0.1)
    writer.add_bool("truth", True)
    writer.add_string("text", "naïve ☃")
    writer.add_array("array.strings", ["", "a", "ĠĊ"])
    writer.add_array("array.i32", [1, -2, 3])
    writer.add_array("array.f32", [0.5, -0.25])
    writer.add_array("array.bool", [True, False])
    for ty in TYPES:
        length, _ = gguf.GGML_QUANT_SIZES[ty]
        raw = blocks(rng, ty, 2 if length == 256 else 64 // min(length, 32))
        values = quants.dequantize(raw, ty).reshape(2, -1)
        writer.add_tensor(f"{ty.name}.blocks", raw.reshape(2, -1), raw_dtype=ty)
        writer.add_tensor(f"{ty.name}.values", values.astype(np.float32))
    normal = rng.standard_normal((2, 2048)).astype(np.float32)
    writer.add_tensor("normal", normal)
    for ty in [Type.Q4_0, Type.Q8_0]:
        writer.add_tensor(f"{ty.name}.of_normal", quants.quantize(normal, ty), raw_dtype=ty)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def grids():
    for name in GRID_TYPES:
        yield GRIDS / f"{name.lower()}.bin", bytes.fromhex(getattr(quants, name).grid_hex.decode())


def content(path):
    """What the package sees in a file: metadata, and tensors with their data."""
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {t.name: (t.tensor_type, *t.shape, t.data.tobytes()) for t in reader.tensors}
    return fields, tensors


def check_writer():
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, "copy.gguf")
        command = ["cargo", "run", "-q", "--example", "copy", "--", VECTORS, copy]
        subprocess.run(command, check=True)
        same = content(copy) == content(VECTORS)
    print("a copy by our writer is", "the same" if same else "another", "for the package's reader")
    return same


def check():
    bad = [path for path, packed in grids() if path.read_bytes() != packed]
    for path in bad:
        print(f"{path}: not the grid of the package")
    if not check_writer():
        bad.append("writer")
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng()
        for ty in TYPES:
            raw = blocks(rng, ty, 4096)
            source, target = pathlib.Path(folder, "blocks"), pathlib.Path(folder, "values")
            source.write_bytes(raw.tobytes())
            command = ["cargo", "run", "-q", "--example", "dequantize", "--"]
            subprocess.run([*command, ty.name, source, target], check=True)
            ours = np.fromfile(target, np.float32)
            theirs = quants.dequantize(raw, ty).reshape(-1).astype(np.float32)
            wrong = np.count_nonzero(ours.view(np.uint32) != theirs.view(np.uint32))
            print(f"{ty.name:8} {len(ours):8} numbers, {wrong} differ in a bit")
            if wrong:
                bad.append(ty)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--grids", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(1 if check() else 0)
    elif arguments.grids:
        for path, packed in grids():
            path.write_bytes(packed)
    else:
        write_vectors()


main()
