"""Sampling: ranges, determinism, and that the filters keep what they say."""

import numpy as np
import pytest
from tilewright.errors import ArgumentError
from tilewright.models.sampling import Sampling


def draws(settings: Sampling, logits, count=2000) -> np.ndarray:
    sampler = settings.sampler()
    return np.array([sampler(np.asarray(logits, np.float32)) for _ in range(count)])


def test_greedy_takes_the_first_of_equals():
    assert Sampling().sampler()(np.array([0, 3, 3, 1], np.float32)) == 1


def test_same_seed_same_tokens(rng):
    logits = rng.standard_normal(100)
    one, two = (draws(Sampling(temperature=1.0, seed=5), logits, 50) for _ in range(2))
    assert (one == two).all()
    assert (one != draws(Sampling(temperature=1.0, seed=6), logits, 50)).any()


def test_frequencies_follow_the_softmax():
    logits = np.log([0.5, 0.3, 0.15, 0.05])
    counts = np.bincount(draws(Sampling(temperature=1.0, seed=0), logits, 20000), minlength=4) / 20000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.15, 0.05], atol=0.015)


def test_temperature_sharpens_and_flattens():
    logits = np.log([0.6, 0.4])
    share = [np.mean(draws(Sampling(temperature=t, seed=0), logits) == 0) for t in (0.25, 1.0, 4.0)]
    assert share[0] > share[1] > share[2] > 0.5


@pytest.mark.parametrize("temperature", [1e-320, 1e-30, 1e-6])
def test_tiny_temperature_is_greedy(temperature):
    assert set(draws(Sampling(temperature=temperature, seed=0), [1.0, 2.0, 1.9], 20)) == {1}


def test_top_k_keeps_k():
    assert set(draws(Sampling(temperature=5.0, top_k=2, seed=0), [0.0, 3.0, 1.0, 2.0])) == {1, 3}
    assert set(draws(Sampling(temperature=5.0, top_k=1, seed=0), [0.0, 3.0, 1.0, 2.0])) == {1}


def test_top_k_beyond_the_vocabulary_keeps_all():
    assert set(draws(Sampling(temperature=5.0, top_k=99, seed=0), [0.0, 1.0, 2.0])) == {0, 1, 2}


def test_top_p_keeps_the_smallest_set_that_reaches_p():
    logits = np.log([0.05, 0.5, 0.15, 0.3])
    assert set(draws(Sampling(temperature=1.0, top_p=0.7, seed=0), logits)) == {1, 3}
    assert set(draws(Sampling(temperature=1.0, top_p=0.01, seed=0), logits)) == {1}


def test_excluded_tokens_are_never_drawn():
    assert set(draws(Sampling(temperature=2.0, seed=0), [-np.inf, 1.0, -np.inf, 1.0])) == {1, 3}


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [1.0, np.nan], [-np.inf, -np.inf], [np.inf, 0.0]])
def test_useless_logits(logits):
    with pytest.raises(ArgumentError, match="usable"):
        Sampling().sampler()(np.array(logits, np.float32))


@pytest.mark.parametrize(
    "settings, phrase",
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range(settings, phrase):
    with pytest.raises(ArgumentError, match=phrase):
        Sampling(**settings)
