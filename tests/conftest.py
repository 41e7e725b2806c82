"""Settings that every test shares: a private cache, a quiet environment, seeded randomness."""

import os
import shutil
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    """Keep the user's cache and TILEWRIGHT_* settings out of the tests, and the tests out of the user's cache.

    It happens before any test file is imported, since settings are read when the package is.
    """
    for name in [name for name in os.environ if name.startswith("TILEWRIGHT_")]:
        del os.environ[name]
    os.environ["TILEWRIGHT_CACHE_DIR"] = config.private_cache = tempfile.mkdtemp(
        prefix="tilewright-test-cache-"
    )


def pytest_unconfigure(config):
    """Remove the cache of the tests."""
    shutil.rmtree(config.private_cache, ignore_errors=True)


@pytest.fixture
def rng(request):
    """Return a NumPy generator seeded by the test's own name: other tests do not change what a test sees."""
    return np.random.default_rng(list(request.node.nodeid.encode()))
