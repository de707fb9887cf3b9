"""How calls in other threads are stopped."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from xner_ray.pipeline import running_tasks
from xner_ray.pipeline.running_tasks import RunningTasks


def test_a_second_interrupt_does_not_let_the_calls_go_on(monkeypatch):
    started, ends = threading.Event(), time.monotonic() + 2

    def wait(calls, timeout=None):
        raise KeyboardInterrupt

    def wait_for(tasks, seconds):
        started.set()
        time.sleep(0.01)
        return tasks if time.monotonic() > ends else []

    monkeypatch.setattr(running_tasks, "wait", wait)
    tasks = RunningTasks(lambda line: None, wait_for, lambda task: task)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(tasks.next_result, deque([1]))
        assert started.wait(30)
        with pytest.raises(KeyboardInterrupt):
            tasks.stop([call], ValueError())
        with pytest.raises(CancelledError):
            call.result(30)
