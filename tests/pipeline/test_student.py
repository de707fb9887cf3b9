"""What of a config comes into a student."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from xner_ray.config.load import load_config
from xner_ray.pipeline.stages.student import _english_share

CONFIG = Path(__file__).parents[2] / "configs" / "tiny.yaml"


@pytest.mark.parametrize(
    ("schedule", "share"), [("sequential", 0.2), ("mixed", 0.0), ("target_only", 0.0), ("english_only", 0.0)]
)
def test_english_is_kept_only_where_a_student_began_as_it(schedule, share):
    config = load_config(CONFIG, ["student.english_share=0.2", f"student.schedule={schedule}"])
    assert _english_share(SimpleNamespace(config=config)) == share
