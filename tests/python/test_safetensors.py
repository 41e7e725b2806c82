"""The safetensors reader: views of the file, and clear errors for damaged ones."""

import json

import ml_dtypes
import numpy as np
import pytest
from tilewright.errors import FormatError
from tilewright.frontends.safetensors import SafetensorsFile

safetensors_numpy = pytest.importorskip("safetensors.numpy")


@pytest.fixture
def tensors(rng):
    return {
        "a": rng.standard_normal((3, 4)).astype(np.float32),
        "b": rng.integers(-5, 5, (7,)).astype(np.int8),
        "c": rng.standard_normal((2, 2)).astype(np.float16),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5),
    }


@pytest.fixture
def path(tmp_path, tensors):
    target = tmp_path / "a.safetensors"
    safetensors_numpy.save_file(tensors, target, {"format": "pt"})
    return target


def test_reads_what_the_package_writes(path, tensors):
    file = SafetensorsFile(path)
    assert set(file) == set(tensors) and len(file) == 5 and file.metadata == {"format": "pt"}
    for name, value in tensors.items():
        np.testing.assert_array_equal(file[name], value)
        assert file[name].dtype == value.dtype and file[name].shape == value.shape


def test_tensors_are_read_only_views(path):
    array = SafetensorsFile(path)["a"]
    assert not array.flags.writeable and array.base is not None


def handmade(path, header: dict, data: bytes, length: int | None = None):
    text = json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_bfloat16_and_unaligned_data(tmp_path):
    values = np.arange(3, dtype=ml_dtypes.bfloat16)
    header = {
        "x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "y": {"dtype": "BF16", "shape": [3], "data_offsets": [1, 7]},
    }
    file = SafetensorsFile(handmade(tmp_path / "a.safetensors", header, b"\7" + values.tobytes()))
    np.testing.assert_array_equal(file["y"], values)


def entry(begin=0, end=4, shape=(1,), dtype="F32"):
    return {"x": {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}}


@pytest.mark.parametrize(
    "header, data, length",
    [
        (entry(), b"", None),
        (entry(), b"\0" * 4, 2**63),
        (entry(), b"\0" * 4, 10**9),
        (entry(shape=(2,)), b"\0" * 4, None),
        (entry(shape=(2**40, 2**40)), b"\0" * 4, None),
        (entry(begin=4, end=0), b"\0" * 4, None),
        (entry(end=2**62), b"\0" * 4, None),
        (entry(dtype="F99"), b"\0" * 4, None),
        (entry() | {"y": entry()["x"]}, b"\0" * 4, None),
        ({"x": 3}, b"", None),
    ],
)
def test_damaged_files(tmp_path, header, data, length):
    with pytest.raises(FormatError, match=r"a\.safetensors: no valid safetensors file"):
        SafetensorsFile(handmade(tmp_path / "a.safetensors", header, data, length))


def test_short_file(tmp_path):
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"abc")
    with pytest.raises(FormatError, match="too short"):
        SafetensorsFile(target)


def test_truncated_and_flipped(path):
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError):
            SafetensorsFile(path)
    for _ in range(500):
        data = bytearray(content)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            file = SafetensorsFile(path)
            for name in file:
                file[name].max(initial=0)
        except FormatError:
            pass


def test_missing_tensor_and_wrong_shape(path):
    file = SafetensorsFile(path)
    with pytest.raises(KeyError):
        file["nope"]
    with pytest.raises(FormatError, match="tensor 'nope' is missing"):
        file.require("nope")
    with pytest.raises(FormatError, match=r"tensor 'a' has shape \[3, 4\], expected \[4, 3\]"):
        file.require("a", (4, 3))
