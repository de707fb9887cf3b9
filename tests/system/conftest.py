"""The system tests use the harness of the benches and the small job of the training tests."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "system"), str(TESTS / "training"), str(TESTS.parent / "bench")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real S3 server for the tests of a file."""
    from s3_server import Server

    started = Server(tmp_path_factory.mktemp("s3"))
    yield started
    started.stop()
