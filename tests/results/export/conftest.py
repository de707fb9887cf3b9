"""A finished run for the tests of exports."""

import pytest

from tests.harness.made_run import make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")
