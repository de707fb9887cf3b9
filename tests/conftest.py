"""What all tests share: one Ray and one tiny encoder a session, since starting either costs seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports ray or tokenizers: forked workers must not inherit the tokenizer's threads.
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models of tests are tiny. Two threads wait for each other longer than they compute, above all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def ray_session():
    """A local Ray with 2 CPUs for all; tests that need another cluster start it in a process of their own."""
    import ray

    from xner_ray.preflight.ray_session import start_local

    start_local(num_cpus=2, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> Path:
    """The folder of an encoder with random weights."""
    from xner_ray.encoders.testing.tiny import make_tiny_encoder

    return make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")
