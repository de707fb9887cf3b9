"""A results.json that is no file of a finished run is an error with its file and a remedy."""

from __future__ import annotations

import pytest

from tests.harness.small_run import make_run
from xner_ray.errors import UserError
from xner_ray.results.run_results import RunResults


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "null", "1", "", "{", '{"name": "a"}', '{"name": "a", "config": {}, "folders": []}',
     '{"name": "a", "config": {}, "folders": {"students": [], "datasets": {}}}'],
)  # fmt: skip
def test_results_that_are_none(content, tmp_path):
    run = make_run(tmp_path / "run")
    (run.out / "results.json").write_text(content)
    with pytest.raises(UserError) as caught:
        RunResults.open(run.out)
    assert caught.value.file == run.out / "results.json" and "xner run" in caught.value.remedy
