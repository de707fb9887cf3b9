"""Fixtures of the system tests."""

import pytest


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real S3 server for the tests of a module."""
    from tests.harness.s3_server import Server

    started = Server(tmp_path_factory.mktemp("s3"))
    yield started
    started.stop()
