"""formats.py against the gguf package (layout, values) and against first principles (error bounds)."""

from __future__ import annotations

import numpy as np
import pytest
from tilewright import formats
from tilewright.errors import FormatError, ShapeError, UnsupportedOpError

gguf = pytest.importorskip("gguf")
BLOCK = [name for name, row in formats.FORMATS.items() if row.is_block]
SUPER = [name for name in BLOCK if formats.FORMATS[name].block == 256]
SHAPES = [(1, 256), (3, 512), (2, 3, 256), (0, 256), (7, 768)]


@pytest.fixture
def rng(request):
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def ggml_type(name):
    return gguf.GGMLQuantizationType[name.upper()]


def random_raw(rng, fmt, shape):
    """Random bytes in every field, with finite scales."""
    fmt = formats.by_name(fmt)
    blocks = np.frombuffer(rng.bytes(int(np.prod(shape)) // fmt.block * fmt.raw.itemsize), fmt.raw).copy()
    for field in {"d", "m", "dmin"} & set(fmt.raw.names):
        blocks[field] = rng.standard_normal(blocks.shape)
    row = fmt.row_bytes(shape[-1])
    return blocks.view(np.uint8).reshape(*shape[:-1], row)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", BLOCK)
def test_dequantize_equals_gguf(rng, name, shape):
    raw = random_raw(rng, name, shape)
    planes = formats.split(name, raw, shape)
    for plane, (expected, dtype) in formats.plane_specs(name, shape).items():
        assert planes[plane].shape == expected and planes[plane].dtype == dtype.numpy
    ours = formats.dequantize(name, *planes.values(), dtype=np.float32)
    assert ours.shape == shape
    if ours.size:
        theirs = gguf.quants.dequantize(raw.reshape(-1, raw.shape[-1]), ggml_type(name)).reshape(shape)
        np.testing.assert_array_equal(ours, theirs)
        wide = formats.dequantize(name, *planes.values())
        assert wide.dtype == np.float64
        # d*q, then ±m: two roundings in float32.
        bound = 2 * np.abs(wide).max() + 2 * np.abs(planes.get("mins", np.zeros(1))).max().astype(np.float64)
        assert np.abs(wide - ours).max() <= bound * 2.0**-23


@pytest.mark.parametrize("name", sorted(set(BLOCK) - set(SUPER)))
def test_quantize_equals_gguf_bit_for_bit(rng, name):
    x = rng.standard_normal((5, 192)).astype(np.float32)
    x[1] = 0  # a block of zeros has scale 0
    x[2, :32] = 3.25  # a block of equal values
    raw = formats.join(name, formats.quantize(name, x))
    np.testing.assert_array_equal(raw, gguf.quants.quantize(x, ggml_type(name)))


@pytest.mark.parametrize("name", sorted(set(BLOCK) - set(SUPER)))
def test_join_inverts_split(rng, name):
    raw = random_raw(rng, name, (4, 256))
    np.testing.assert_array_equal(formats.join(name, formats.split(name, raw, (4, 256))), raw)


def test_split_takes_bytes_and_memoryview(rng):
    raw = random_raw(rng, "q4_1", (2, 64))
    for form in (raw.tobytes(), memoryview(raw.tobytes()), raw.reshape(-1)):
        planes = formats.split("q4_1", form, (2, 64))
        np.testing.assert_array_equal(formats.join("q4_1", planes), raw)


@pytest.mark.parametrize("name", ["q4_k", "q5_k"])
def test_formats_with_mins_quantise_within_their_steps(rng, name):
    x = rng.standard_normal((3, 512)).astype(np.float32)
    x[0, :256] = 0
    x[1, 32:64] = np.abs(x[1, 32:64]) + 1  # a group with no negative value has min 0
    planes = formats.quantize(name, x)
    back = formats.dequantize(name, *planes.values(), dtype=np.float32)
    np.testing.assert_array_equal(back[0, :256], 0)
    groups = np.abs(back - x).reshape(3, 2, 8, 32)
    span = np.maximum(x.reshape(3, 2, 8, 32).max(-1), 0) - np.minimum(x.reshape(3, 2, 8, 32).min(-1), 0)
    # half a step of the weight, plus half-steps of its 6-bit scale, plus half a step of its 6-bit min
    steps = 2 ** formats.FORMATS[name].bits - 1
    step = span / steps
    bound = step / 2 + steps * step.max(-1, keepdims=True) / 126 + span.max(-1, keepdims=True) / 126
    assert (groups.max(-1) <= bound * 1.01).all()
    raw = formats.super_blocks(name, x)
    np.testing.assert_array_equal(gguf.quants.dequantize(raw, ggml_type(name)), back)


def test_q6_k_quantises_within_its_steps(rng):
    x = rng.standard_normal((3, 512)).astype(np.float32)
    x[0, :256] = 0
    planes = formats.quantize("q6_k", x)
    back = formats.dequantize("q6_k", *planes.values(), dtype=np.float32)
    np.testing.assert_array_equal(back[0, :256], 0)
    step = np.abs(x).reshape(3, 2, 16, 16).max(-1) / 31
    # half a step of the weight, plus 31 half-steps of the scale, which has 7 bits of the block's largest
    bound = step / 2 + 31 * step.max(-1, keepdims=True) / 254
    assert (np.abs(back - x).reshape(3, 2, 16, 16).max(-1) <= bound * 1.01).all()
    raw = formats.super_blocks("q6_k", x)
    np.testing.assert_array_equal(gguf.quants.dequantize(raw, ggml_type("q6_k")), back)


@pytest.mark.parametrize("group", ["tensor", "channel", 16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", ["int8", "int4"])
def test_integer_formats_stay_within_half_a_step(rng, name, symmetric, group):
    x = (rng.standard_normal((6, 64)) * rng.uniform(0.1, 10, (6, 1)) + 0.5).astype(np.float32)
    planes = formats.quantize(name, x, group=group, symmetric=symmetric)
    assert list(planes) == ["storage", "scales"] + ([] if symmetric else ["zeros"])
    specs = formats.plane_specs(name, x.shape, group=group)
    for plane, value in planes.items():
        assert (value.shape, value.dtype) == (specs[plane][0], specs[plane][1].numpy)
    back = formats.dequantize(name, *planes.values())
    step = np.broadcast_to(
        planes["scales"]
        if group == "tensor"
        else planes["scales"][:, None]
        if group == "channel"
        else np.repeat(planes["scales"], 16, axis=1),
        x.shape,
    )
    assert (np.abs(back - x) <= step * (0.5 if symmetric else 1.0) * (1 + 1e-5)).all()


def test_int4_packs_low_nibble_first(rng):
    q = rng.integers(-8, 8, (3, 10)).astype(np.int8)
    packed = formats.pack_int4(q)
    assert packed[0, 0] & 15 == q[0, 0] & 15 and packed[0, 0] >> 4 == q[0, 1] & 15
    np.testing.assert_array_equal(formats.unpack_int4(packed), q)


def test_group_of_q4_0_keeps_weight_j_beside_weight_j_plus_16():
    x = np.zeros((1, 32), np.float32)
    x[0, 0], x[0, 16] = -8.0, 7.0
    planes = formats.quantize("q4_0", x)
    assert planes["scales"][0, 0] == 1.0
    assert planes["storage"][0, 0, 0] == 0 | (15 << 4)


@pytest.mark.parametrize("name", [*BLOCK, "int8", "int4"])
def test_quantize_empty_rows(name):
    planes = formats.quantize(name, np.zeros((0, 256), np.float32))
    assert formats.dequantize(name, *planes.values()).shape == (0, 256)


def test_mistakes_are_named():
    with pytest.raises(UnsupportedOpError, match="did you mean 'q4_k'"):
        formats.by_name("q4_K_m")
    with pytest.raises(ShapeError, match=r"last dim of \[2, 33\] is not a multiple of 32"):
        formats.split("q4_0", b"", (2, 33))
    with pytest.raises(FormatError, match="3 bytes for a weight of shape"):
        formats.split("q8_0", b"abc", (1, 32))
    with pytest.raises(ShapeError, match="multiple of 2"):
        formats.quantize("int4", np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="multiple of 16"):
        formats.quantize("int8", np.zeros((2, 24)), group=16)
    with pytest.raises(ShapeError, match="a scalar has no rows"):
        formats.plane_specs("q4_0", ())
    with pytest.raises(UnsupportedOpError, match="no raw block layout"):
        formats.split("int8", b"", (1, 32))
    with pytest.raises(UnsupportedOpError, match="cannot be joined"):
        formats.join("q4_k", {})
