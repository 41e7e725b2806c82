"""errors.py: the text of an error, the user's line, and tracebacks without frames of the package."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
import warnings

import pytest
from tilewright import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, (errors.TilewrightError, errors.CacheWarning))
]

BUILTINS = {
    "ShapeError": ValueError,
    "DTypeError": TypeError,
    "UnsupportedOpError": NotImplementedError,
    "TracerError": TypeError,
    "ArgumentError": TypeError,
    "IndexRangeError": IndexError,
    "CheckError": RuntimeError,
    "FormatError": ValueError,
    "DeviceError": RuntimeError,
    "InternalError": RuntimeError,
    "CacheWarning": UserWarning,
}


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_class_derives_from_the_builtin_users_catch(name):
    assert issubclass(getattr(errors, name), BUILTINS[name])


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_class_has_public_name_and_docs_paragraph(cls):
    assert cls.__module__ == "tilewright"
    assert len((cls.__doc__ or "").split()) > 20
    assert cls.__name__ in errors.__all__


def test_message_has_the_documented_form():
    loc = errors.SourceLocation("model.py", 41, 9, "block", "return rms_norm(h, self.w_attn) @ self.wq")
    error = errors.ShapeError(
        "rms_norm: weight has shape [128], expected [256]", help="slice the weight.", loc=loc
    )
    assert str(error) == (
        "rms_norm: weight has shape [128], expected [256]\n"
        "  --> model.py:41:9   in block()\n"
        "   |  return rms_norm(h, self.w_attn) @ self.wq\n"
        "  help: slice the weight."
    )


def test_fail_finds_this_line_and_column():
    with pytest.raises(errors.DTypeError) as info:
        x = 1; errors.fail(errors.DTypeError, "add: no")  # fmt: skip
    loc = info.value.loc
    assert loc.file == __file__
    assert loc.function == "test_fail_finds_this_line_and_column"
    assert loc.text.startswith("x = 1; errors.fail(")
    assert loc.column == len("        x = 1; ") + 1
    assert x == 1


def test_error_made_without_fail_knows_the_line_too():
    error = errors.FormatError("file: bad")
    assert error.loc.text == 'error = errors.FormatError("file: bad")'


def test_fail_hides_the_context_but_keeps_a_cause():
    with pytest.raises(errors.FormatError) as info:
        try:
            raise KeyError("inner")
        except KeyError:
            errors.fail(errors.FormatError, "file: bad")
    assert info.value.__suppress_context__
    cause = OSError("disk")
    with pytest.raises(errors.FormatError) as info:
        errors.fail(errors.FormatError, "file: bad", cause=cause)
    assert info.value.__cause__ is cause


def test_lowering_error_shows_stage_pass_op_reason_and_command():
    error = errors.LoweringError(
        "matmul: cannot tile",
        stage="tiled",
        pass_name="tw-tile-and-fuse",
        op="linalg.matmul",
        reason="no config",
        reproducer="/tmp/r.mlir",
        command="tw-opt r.mlir",
    )
    text = str(error)
    for part in ("stage: tiled", "pass: tw-tile-and-fuse", "op: linalg.matmul", "reason: no config"):
        assert part in text
    assert "reproducer: /tmp/r.mlir" in text and "run: tw-opt r.mlir" in text


def test_errors_survive_pickle():
    loc = errors.SourceLocation("m.py", 3, 1, "f", "f(x)")
    error = pickle.loads(pickle.dumps(errors.LoweringError("m", help="h", loc=loc, stage="vector")))
    assert type(error) is errors.LoweringError
    assert (error.message, error.help, error.loc, error.stage) == ("m", "h", loc, "vector")


def run_script(tmp_path, source, *args):
    """Run a user's script against a small fake of the package's depth; return stderr."""
    script = tmp_path / "user_script.py"
    script.write_text(textwrap.dedent(source))
    root = os.path.dirname(os.path.dirname(errors.__file__))
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, str(script), *args], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


INSIDE = """
    import linecache, os
    from tilewright import errors

    def package_code(text):
        # Compiles as if it stood in the package: frames are recognised by their file.
        scope = {"errors": errors}
        path = os.path.join(os.path.dirname(errors.__file__), "imaginary.py")
        exec(compile(text, path, "exec"), scope)
        return scope

    ours = package_code('''
    @errors.trim_traceback
    def op(x):
        return deeper(x)

    def deeper(x):
        errors.fail(errors.ShapeError, "op: bad shape", help="reshape.")

    @errors.trim_traceback
    def jit(fn):
        return helper(fn)

    def helper(fn):
        return fn(1)

    @errors.trim_traceback
    def broken(x):
        return [][x]
    ''')
"""


def test_traceback_shows_no_frame_of_the_package(tmp_path):
    source = (
        INSIDE
        + """
    def model(x):
        return ours["op"](x)

    ours["jit"](model)
    """
    )
    stderr = run_script(tmp_path, source)
    assert "imaginary.py" not in stderr and "errors.py" not in stderr
    assert stderr.count('File "') == 2  # the module and model()
    assert "tilewright.ShapeError: op: bad shape" in stderr
    assert "user_script.py:" in stderr and "in model()" in stderr
    assert '|  return ours["op"](x)' in stderr and "help: reshape." in stderr


def test_traceback_of_the_users_own_error_is_trimmed_too(tmp_path):
    stderr = run_script(
        tmp_path,
        INSIDE
        + """
    ours["jit"](lambda x: {}["missing"])
    """,
    )
    assert "KeyError: 'missing'" in stderr
    assert "imaginary.py" not in stderr and stderr.count('File "') == 2


def test_traceback_of_a_bug_of_ours_stays_whole(tmp_path):
    stderr = run_script(
        tmp_path,
        INSIDE
        + """
    ours["broken"](3)
    """,
    )
    assert "IndexError" in stderr and "imaginary.py" in stderr


def test_trim_keeps_signature_and_result():
    @errors.trim_traceback
    def scale(x, *, by=2):
        """Scale."""
        return x * by

    assert scale(3, by=5) == 15
    assert scale.__doc__ == "Scale." and list(inspect.signature(scale).parameters) == ["x", "by"]


def test_reraised_error_has_user_frames_once():
    @errors.trim_traceback
    def outer(fn):
        return fn()

    def user():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as info:
        outer(user)
    names = [entry.name for entry in traceback.extract_tb(info.value.__traceback__)]
    assert names == ["test_reraised_error_has_user_frames_once", "outer", "user"]


def test_warning_points_at_the_users_line():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        errors.warn(errors.CacheWarning, "cache: corrupt entry", help="nothing to do.")
    assert seen[0].filename == __file__
    assert "corrupt entry" in str(seen[0].message) and "help: nothing" in str(seen[0].message)


@pytest.mark.parametrize(("name", "expected"), [("sofmax", "did you mean 'softmax'?"), ("zzz", None)])
def test_did_you_mean(name, expected):
    assert errors.did_you_mean(name, ["softmax", "exp"]) == expected


def test_models_of_the_package_count_as_user_code():
    package = os.path.dirname(errors.__file__)
    assert errors.is_user_file(os.path.join(package, "models", "llama.py"))
    assert not errors.is_user_file(os.path.join(package, "trace.py"))
    assert not errors.is_user_file(os.path.join(package, "targets", "cpu", "target.py"))


def test_user_locations_are_innermost_first():
    def inner():
        return list(errors.user_locations(limit=2))

    places = inner()
    assert [place.function for place in places] == ["inner", "test_user_locations_are_innermost_first"]
