"""Work that came to its end is written down once, and work that raised is not."""

import pytest

from xner_ray.observability.work_log import read_work, worked


def test_work_is_told(tmp_path):
    assert read_work(tmp_path) == []
    with worked(tmp_path, "label", "abc", pairs=8) as amount:
        amount["shards"] = 2
    with pytest.raises(KeyboardInterrupt), worked(tmp_path, "label", "abc", pairs=9):
        raise KeyboardInterrupt
    with worked(tmp_path, "dataset", "def"):
        pass
    told = read_work(tmp_path)
    assert [(row["stage"], row["of"], row["amount"]) for row in told] == [
        ("label", "abc", {"pairs": 8, "shards": 2}),
        ("dataset", "def", {}),
    ]
    assert all(0 <= row["seconds"] < 60 for row in told)
