"""The target interp on hand-written modules: what NumPy would do, operation by operation, regions included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tilewright as tw
from tilewright.mlir import mlir
from tilewright.targets.interp.target import target

HEADER = 'module attributes {tw.stage = "traced"} {\n'


def run(text, *args, **options):
    """Run a module given as text; `text` is what stands in @main, with its signature."""
    ir, context = mlir().ir, mlir().context
    with context:
        module = ir.Module.parse(HEADER + text + "\n}")
    return target().run(module, list(args), **options)


def test_elementwise_rounds_once_per_operation():
    text = """func.func @main(%a: tensor<3xf16>, %b: tensor<3xf16>) -> tensor<3xf16> {
      %s = tw.add %a, %b : tensor<3xf16>
      %r = tw.sub %s, %b : tensor<3xf16>
      return %r : tensor<3xf16>
    }"""
    a, b = np.array([1, 0.1, 3], np.float16), np.array([2048, 7, 0.001], np.float16)
    (rounded,) = run(text, a, b)
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded, (a + b) - b)
    (wide,) = run(text, a, b, float64=True)
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide, a.astype(np.float64))


def test_constants_of_every_kind():
    text = """func.func @main() -> (tensor<4xbf16>, tensor<2xbf16>, tensor<2x2xf32>, tensor<2xui8>, tensor<i1>,
                                    tensor<0x3xf32>, tensor<2xf16>, tensor<2xi64>) {
      %a = arith.constant dense<[1.5, -2.0, 0x7F80, 0x7FC0]> : tensor<4xbf16>
      %b = arith.constant dense<0.1> : tensor<2xbf16>
      %c = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
      %d = arith.constant dense<[1, 255]> : tensor<2xui8>
      %e = arith.constant dense<true> : tensor<i1>
      %f = arith.constant dense<> : tensor<0x3xf32>
      %g = arith.constant dense<[1.5, 65504.0]> : tensor<2xf16>
      %h = arith.constant dense<[-1, 5]> : tensor<2xi64>
      return %a, %b, %c, %d, %e, %f, %g, %h : tensor<4xbf16>, tensor<2xbf16>, tensor<2x2xf32>, tensor<2xui8>, tensor<i1>,
        tensor<0x3xf32>, tensor<2xf16>, tensor<2xi64>
    }"""
    a, b, c, d, e, f, g, h = run(text)
    assert a.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(a.astype(np.float64), [1.5, -2, np.inf, np.nan])
    np.testing.assert_array_equal(b, np.array([0.1, 0.1], ml_dtypes.bfloat16))
    np.testing.assert_array_equal(c, [[1, 2], [3, 4]])
    assert d.dtype == np.uint8 and d.tolist() == [1, 255]
    assert e.dtype == bool and e.shape == () and bool(e)
    assert f.shape == (0, 3) and g.dtype == np.float16 and g.tolist() == [1.5, 65504]
    assert h.tolist() == [-1, 5]


def test_large_bfloat16_constants_come_as_bytes():
    values = np.random.default_rng().standard_normal(200).astype(ml_dtypes.bfloat16)
    digits = values.view(np.uint16).tobytes().hex().upper()
    text = f"""func.func @main() -> tensor<200xbf16> {{
      %a = arith.constant dense<"0x{digits}"> : tensor<200xbf16>
      return %a : tensor<200xbf16>
    }}"""
    (result,) = run(text)
    np.testing.assert_array_equal(result.view(np.uint16), values.view(np.uint16))


@pytest.mark.parametrize(
    ("op", "expected"),
    [("addi", -4), ("subi", -10), ("muli", -21), ("divsi", -2), ("floordivsi", -3), ("ceildivsi", -2),
     ("remsi", -1), ("maxsi", 3), ("minsi", -7)],
)  # fmt: skip
def test_index_arithmetic(op, expected):
    text = f"""func.func @main() -> tensor<i64> {{
      %a = arith.constant -7 : index
      %b = arith.constant 3 : index
      %c = arith.{op} %a, %b : index
      %r = tw.from_index %c : tensor<i64>
      return %r : tensor<i64>
    }}"""
    assert run(text)[0] == expected


def test_dynamic_shapes():
    text = """func.func @main(%x: tensor<?x4xf32>) -> (tensor<?x2x4xf32>, tensor<?x8xf32>, tensor<?xi32>) {
      %n = tw.dim %x axis = 0 : tensor<?x4xf32>
      %two = arith.constant 2 : index
      %h = arith.divsi %n, %two : index
      %b = tw.broadcast %x sizes(%n) dims = [0, 2] : tensor<?x4xf32> -> tensor<?x2x4xf32>
      %r = tw.reshape %x sizes(%h) : tensor<?x4xf32> -> tensor<?x8xf32>
      %i = tw.iota sizes(%n) axis = 0 : tensor<?xi32>
      return %b, %r, %i : tensor<?x2x4xf32>, tensor<?x8xf32>, tensor<?xi32>
    }"""
    for rows in (0, 2, 6):
        x = np.random.default_rng().standard_normal((rows, 4)).astype(np.float32)
        b, r, i = run(text, x)
        np.testing.assert_array_equal(b, np.repeat(x[:, None], 2, axis=1))
        np.testing.assert_array_equal(r, x.reshape(rows // 2, 8))
        assert i.dtype == np.int32 and i.tolist() == list(range(rows))


def test_slices_take_static_and_dynamic_numbers():
    text = """func.func @main(%x: tensor<?x8xf32>, %i: tensor<i64>) -> (tensor<2x4xf32>, tensor<?x8xf32>) {
      %o = tw.to_index %i : tensor<i64>
      %s = tw.slice %x[%o, 0] [2, 4] [1, 2] : tensor<?x8xf32> -> tensor<2x4xf32>
      %p = tw.reshape %s : tensor<2x4xf32> -> tensor<1x8xf32>
      %u = tw.update_slice %x, %p[%o, 0] : tensor<?x8xf32>, tensor<1x8xf32>
      return %s, %u : tensor<2x4xf32>, tensor<?x8xf32>
    }"""
    x = np.arange(40, dtype=np.float32).reshape(5, 8)
    sliced, updated = run(text, x, np.int64(2))
    np.testing.assert_array_equal(sliced, x[2:4, ::2])
    np.testing.assert_array_equal(updated[2], x[2:4, ::2].reshape(-1))
    clamped, _ = run(text, x, np.int64(99))
    np.testing.assert_array_equal(clamped, x[3:5, ::2])


def test_cond_runs_one_branch_and_sees_outer_values():
    text = """func.func @main(%p: tensor<i1>, %x: tensor<2xf32>) -> tensor<2xf32> {
      %two = arith.constant dense<2.0> : tensor<2xf32>
      %r = tw.cond %p(%x) : (tensor<2xf32>) -> tensor<2xf32> then {
      ^bb0(%a: tensor<2xf32>):
        %m = tw.mul %a, %two : tensor<2xf32>
        tw.yield %m : tensor<2xf32>
      } else {
      ^bb0(%a: tensor<2xf32>):
        tw.check %p, "never reached" : tensor<i1>
        tw.yield %a : tensor<2xf32>
      }
      return %r : tensor<2xf32>
    }"""
    x = np.array([1, 2], np.float32)
    assert run(text, np.bool_(True), x)[0].tolist() == [2, 4]
    with pytest.raises(tw.CheckError, match="never reached"):
        run(text, np.bool_(False), x)


def test_while_counts():
    text = """func.func @main(%n: tensor<i32>) -> (tensor<i32>, tensor<i32>) {
      %zero = arith.constant dense<0> : tensor<i32>
      %one = arith.constant dense<1> : tensor<i32>
      %r:2 = tw.while(%zero, %one) : (tensor<i32>, tensor<i32>) -> (tensor<i32>, tensor<i32>) cond {
      ^bb0(%i: tensor<i32>, %f: tensor<i32>):
        %p = tw.compare "lt", %i, %n : tensor<i32>
        tw.yield %p : tensor<i1>
      } do {
      ^bb0(%i: tensor<i32>, %f: tensor<i32>):
        %j = tw.add %i, %one : tensor<i32>
        %g = tw.mul %f, %j : tensor<i32>
        tw.yield %j, %g : tensor<i32>, tensor<i32>
      }
      return %r#0, %r#1 : tensor<i32>, tensor<i32>
    }"""
    assert [int(v) for v in run(text, np.int32(5))] == [5, 120]
    assert [int(v) for v in run(text, np.int32(0))] == [0, 1]


@pytest.mark.parametrize("length", [0, 1, 4])
def test_scan_carries_and_stacks(length):
    text = """func.func @main(%c: tensor<f32>, %xs: tensor<?xf32>) -> (tensor<f32>, tensor<?xf32>) {
      %r:2 = tw.scan init(%c) over(%xs) : (tensor<f32>), (tensor<?xf32>) -> tensor<f32>, tensor<?xf32> {
      ^bb0(%a: tensor<f32>, %x: tensor<f32>):
        %s = tw.add %a, %x : tensor<f32>
        tw.yield %s, %s : tensor<f32>, tensor<f32>
      }
      return %r#0, %r#1 : tensor<f32>, tensor<?xf32>
    }"""
    xs = np.arange(1, length + 1, dtype=np.float32)
    last, sums = run(text, np.float32(10), xs)
    assert last == 10 + xs.sum()
    np.testing.assert_array_equal(sums, 10 + np.cumsum(xs))


def test_gather_out_of_range_names_the_users_line():
    text = """func.func @main(%x: tensor<4xf32>, %i: tensor<2xi64>) -> tensor<2xf32> {
      %r = tw.gather %x, %i axis = 0 {mode = "raise"} : tensor<4xf32>, tensor<2xi64> -> tensor<2xf32> loc("model.py":41:9)
      return %r : tensor<2xf32>
    }"""
    x = np.arange(4, dtype=np.float32)
    assert run(text, x, np.array([1, -1]))[0].tolist() == [1, 3]
    with pytest.raises(tw.IndexRangeError, match="index 7 is out of range") as info:
        run(text, x, np.array([1, 7]))
    assert (info.value.loc.file, info.value.loc.line, info.value.loc.column) == ("model.py", 41, 9)


def test_optional_operands_and_formats():
    text = """func.func @main(%x: tensor<2x4xf32>, %b: tensor<4xf32>, %s: tensor<1x1x16xui8>, %d: tensor<1x1xf16>)
        -> (tensor<2x4xf32>, tensor<1x32xf32>) {
      %n = tw.layer_norm %x bias %b : tensor<4xf32> {eps = 1.0e-05} : tensor<2x4xf32>
      %w = tw.dequantize %s, %d format = <name = "q4_0", group = 32>
         : (tensor<1x1x16xui8>, tensor<1x1xf16>) -> tensor<1x32xf32>
      return %n, %w : tensor<2x4xf32>, tensor<1x32xf32>
    }"""
    x, b = np.random.default_rng().standard_normal((2, 4)).astype(np.float32), np.ones(4, np.float32)
    storage = np.full((1, 1, 16), 0x19, np.uint8)
    normal, weights = run(text, x, b, storage, np.full((1, 1), 0.5, np.float16))
    np.testing.assert_allclose(normal.mean(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(weights, [[0.5] * 16 + [-3.5] * 16])


def test_operation_without_reference_is_named():
    text = """func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %r = math.exp %x : tensor<4xf32>
      return %r : tensor<4xf32>
    }"""
    with pytest.raises(tw.UnsupportedOpError, match=r"no reference for operation math\.exp"):
        run(text, np.ones(4, np.float32))


def test_calls_of_other_functions():
    text = """func.func private @twice(%x: tensor<2xf32>) -> tensor<2xf32> {
      %r = tw.add %x, %x : tensor<2xf32>
      return %r : tensor<2xf32>
    }
    func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      %a = call @twice(%x) : (tensor<2xf32>) -> tensor<2xf32>
      %b = call @twice(%a) : (tensor<2xf32>) -> tensor<2xf32>
      return %b : tensor<2xf32>
    }"""
    assert run(text, np.array([1, 2], np.float32))[0].tolist() == [4, 8]
