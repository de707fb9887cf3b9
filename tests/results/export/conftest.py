"""A finished run for export tests."""

import pytest

from tests.harness.small_run import make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")
