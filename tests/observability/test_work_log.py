"""The work log: finished work is logged once, and work that raised is not logged."""

import pytest

from xner_ray.observability.work_log import FILE, count_damaged, log_work, read_work


def test_finished_work_is_logged_and_failed_work_is_not(tmp_path):
    assert read_work(tmp_path) == []
    with log_work(tmp_path, "label", "abc", pairs=8) as amount:
        amount["shards"] = 2
    with pytest.raises(KeyboardInterrupt), log_work(tmp_path, "label", "abc", pairs=9):
        raise KeyboardInterrupt
    with log_work(tmp_path, "dataset", "def"):
        pass
    rows = read_work(tmp_path)
    assert [(row["stage"], row["of"], row["amount"]) for row in rows] == [
        ("label", "abc", {"pairs": 8, "shards": 2}),
        ("dataset", "def", {}),
    ]
    assert all(0 <= row["seconds"] < 60 for row in rows)


@pytest.mark.parametrize("torn", [b'{"stage": "label", "o', b"\xff\xfe", b"[]", b"null", b'{"stage": 7}'])
def test_a_torn_line_is_skipped_and_counted(tmp_path, torn):
    with log_work(tmp_path, "label", "abc", pairs=8):
        pass
    with open(tmp_path / FILE, "ab") as file:
        file.write(torn)  # by a process that was killed
    assert [row["of"] for row in read_work(tmp_path)] == ["abc"] and count_damaged(tmp_path) == 1
    with log_work(tmp_path, "label", "def", pairs=9):
        pass
    assert [row["of"] for row in read_work(tmp_path)] == ["abc", "def"] and count_damaged(tmp_path) == 1
    assert (tmp_path / FILE).read_bytes().count(b"\n") == 3
