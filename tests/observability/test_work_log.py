"""The work log: finished work is logged once, and work that raised is not logged."""

import threading
import time

import pytest

from xner_ray.observability.work_log import FILE, SharedTime, count_damaged, log_work, read_work


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


def test_seconds_of_work_at_the_same_time_add_up_to_the_time_that_passed(tmp_path):
    shared, started = SharedTime(), time.monotonic()

    def work(seconds: float) -> None:
        with log_work(tmp_path, "ingest", str(seconds), shared, pairs=1):
            time.sleep(seconds)

    threads = [threading.Thread(target=work, args=(x,)) for x in (0.1, 0.3, 0.4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.monotonic() - started
    time.sleep(0.2)  # no part counts a pause
    started = time.monotonic()
    work(0.1)
    alone = time.monotonic() - started
    rows = [row["seconds"] for row in read_work(tmp_path)]
    assert 0.35 <= sum(rows[:3]) <= passed + 0.05 and 0.05 <= rows[3] <= alone + 0.01
