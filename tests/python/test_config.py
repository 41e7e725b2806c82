"""Settings from the environment."""

from pathlib import Path

import pytest
from tilewright import config


def test_defaults(monkeypatch):
    settings, complaints = config.parse({"HOME": "/home/u"})
    assert settings.cache and settings.cache_dir == Path("/home/u/.cache/tilewright")
    assert settings.num_threads is None and settings.target == "cpu" and complaints == []


@pytest.mark.parametrize(
    ("environ", "field", "value"),
    [
        ({"TILEWRIGHT_LOG": "+fusion, recompiles"}, "log", ("fusion", "recompiles")),
        ({"TILEWRIGHT_CACHE": "0"}, "cache", False),
        ({"TILEWRIGHT_CACHE_SIZE": "1.5G"}, "cache_size", 3 << 29),
        ({"TILEWRIGHT_CACHE_DIR": "/x"}, "cache_dir", Path("/x")),
        ({"XDG_CACHE_HOME": "/c"}, "cache_dir", Path("/c/tilewright")),
        ({"OMP_NUM_THREADS": "3,2"}, "num_threads", 3),
        ({"OMP_NUM_THREADS": "3", "TILEWRIGHT_NUM_THREADS": "2"}, "num_threads", 2),
        ({"TILEWRIGHT_DISABLE_JIT": "1"}, "disable_jit", True),
        ({"TILEWRIGHT_DUMP": "/d"}, "dump", Path("/d")),
        ({"TILEWRIGHT_PERF": "1"}, "perf", True),
        ({"TILEWRIGHT_SPECIALIZE": "observed"}, "specialize", None),
        ({"TILEWRIGHT_SPECIALIZE": "50"}, "specialize", 50),
        ({"TILEWRIGHT_SPECIALIZE": "0"}, "specialize", 0),
        ({"NO_COLOR": "1"}, "no_color", True),
        ({"NO_COLOR": ""}, "no_color", False),
    ],
)
def test_values(environ, field, value):
    settings, complaints = config.parse(environ)
    assert getattr(settings, field) == value and complaints == []


@pytest.mark.parametrize(
    ("environ", "phrase"),
    [
        ({"TILEWRIGHT_CASHE_DIR": "/x"}, "did you mean 'TILEWRIGHT_CACHE_DIR'"),
        ({"TILEWRIGHT_QUX": "1"}, "tilewright config"),
        ({"TILEWRIGHT_CACHE": "maybe"}, "expected 0 or 1"),
        ({"TILEWRIGHT_NUM_THREADS": "0"}, "at least 1"),
        ({"TILEWRIGHT_SPECIALIZE": "often"}, "number of calls"),
        ({"TILEWRIGHT_NUM_THREADS": "many"}, "many"),
        ({"TILEWRIGHT_CACHE_SIZE": "-1"}, "ignored"),
    ],
)
def test_complaints(environ, phrase):
    settings, (complaint,) = config.parse(environ)
    assert phrase in complaint and settings.cache


def test_unknown_variable_warns_once(monkeypatch):
    monkeypatch.setenv("TILEWRIGHT_LGO", "x")
    with pytest.warns(UserWarning, match="did you mean 'TILEWRIGHT_LOG'"):
        config.reload()
    config.current()
    monkeypatch.delenv("TILEWRIGHT_LGO")
    config.reload()


def test_override_is_undone():
    before = config.current()
    with config.override(target="interp"):
        assert config.current().target == "interp"
    assert config.current() == before


def test_describe_lists_every_field():
    import dataclasses

    assert {s.field for s in config.SETTINGS} == {f.name for f in dataclasses.fields(config.Config)}
    assert all(help for _, _, help in config.describe())
