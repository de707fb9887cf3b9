"""Maps and concurrent calls on Ray: order, limits, and what happens to the others after an error."""

from __future__ import annotations

import threading
import time

import pytest

from xner_ray.config import RayConfig
from xner_ray.errors import UserError
from xner_ray.pipeline.executors import InProcess, RayExecutor


@pytest.fixture
def executor(ray_session, tmp_path):
    lines: list[str] = []
    made = RayExecutor(RayConfig(), tmp_path, lines.append)
    made.lines = lines
    return made


def check(item: tuple[str, float]) -> str:
    """Sleep, then fail if the name begins with `bad`, or return the name."""
    name, seconds = item
    time.sleep(seconds)
    if name.startswith("bad"):
        raise UserError("is bad", file=name, key="corpora", remedy="use another")
    return name


def test_the_first_error_in_order_is_raised_and_the_others_are_logged(executor):
    with pytest.raises(UserError) as e:
        list(executor.map(check, [("good", 0), ("bad-first", 0.5), ("good", 0), ("bad-second", 0)]))
    assert e.value.file == "bad-first"
    (line,) = executor.lines
    assert "bad-second" in line and "key 'corpora'" in line and "is bad" in line and "\n" not in line


def test_an_error_does_not_wait_for_tasks_that_take_long(executor):
    started = time.monotonic()
    with pytest.raises(UserError):
        list(executor.map(check, [("bad", 0), ("slow", 12.0)]))
    assert time.monotonic() - started < 10
    assert list(executor.map(check, [("good", 0)])) == ["good"]


def test_no_more_tasks_than_the_limit_are_started(executor):
    started: list[int] = []

    def items():
        for i in range(4):
            started.append(i)
            yield ("good", 0)

    results = executor.map(check, items(), max_running=1)
    next(results)
    assert started == [0]
    assert len(list(results)) == 3


def test_calls_run_at_a_time_and_in_order(executor):
    both = threading.Barrier(2, timeout=30)

    def call(number: int) -> list[int]:
        both.wait()  # passes only if two calls run
        return list(executor.map(abs, [-number]))

    assert list(executor.concurrently(call, [1, 2])) == [[1], [2]]
    threads = list(executor.concurrently(lambda _: threading.get_ident(), [1, 2], max_running=1))
    assert threads == [threading.get_ident()] * 2
    assert list(InProcess().concurrently(abs, [-1, -2])) == [1, 2]


def test_an_error_of_a_call_ends_the_others(executor):
    reached: list[str] = []

    def call(items: list[tuple[str, float]]) -> None:
        for item in items:
            reached.extend(executor.map(check, [item]))

    started = time.monotonic()
    with pytest.raises(UserError) as e:
        list(executor.concurrently(call, [[("bad", 0)], [("good", 0), ("slow", 12.0), ("next", 0)]]))
    assert e.value.file == "bad" and time.monotonic() - started < 10
    assert reached == ["good"] and executor.lines == []
    assert list(executor.map(abs, [-1])) == [1]  # a later map is not stopped


def test_an_error_of_a_later_call_does_not_wait_for_an_earlier_one(executor):
    is_read = threading.Event()

    def call(item: tuple[str, float]) -> list[str]:
        if item[0] == "bad":
            is_read.wait(60)
        return list(executor.map(check, [item]))

    results = executor.concurrently(call, [("done", 0), ("slow", 20.0), ("bad", 0)])
    assert next(results) == ["done"]
    is_read.set()
    started = time.monotonic()
    with pytest.raises(UserError) as e:
        next(results)
    assert e.value.file == "bad" and time.monotonic() - started < 15
    assert executor.lines == []


def test_errors_of_several_calls_are_named(executor):
    def call(item: tuple[str, float]) -> list[str]:
        return list(executor.map(check, [item]))

    with pytest.raises(UserError) as e:
        list(executor.concurrently(call, [("bad-de", 1.0), ("bad-es", 0)]))
    assert e.value.file == "bad-de"
    assert [line for line in executor.lines if "bad-es" in line and "is bad" in line]
