"""Settings that every test shares: a private cache, a quiet environment, seeded randomness."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True, scope="session")
def _private_environment(tmp_path_factory):
    """Keep the user's cache and TILEWRIGHT_* settings out of the tests, and the tests out of the user's cache."""
    saved = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TILEWRIGHT_")}
    os.environ["TILEWRIGHT_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("TILEWRIGHT_CACHE_DIR", None)
    os.environ.update(saved)


@pytest.fixture
def rng(request):
    """Return a NumPy generator seeded by the test's own name: other tests do not change what a test sees."""
    return np.random.default_rng(list(request.node.nodeid.encode()))
