"""The Ray tasks that an executor waits for: their results in order, and what happens after an error.

Tasks that were started before an error run to their end, and their results are dropped. They are not canceled, because
`ray.cancel` of a task that just starts or ends can abort this process, without a message (Ray 2.60, a failed check of
`TaskManager`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from xner_ray.errors import UserError

T = TypeVar("T")
ERROR_SECONDS = 2.0  # after an error, for errors of tasks that were started before it
_POLL_SECONDS = 0.5


class RunningTasks:
    """Tasks of any number of threads. Each `map` holds its tasks in a queue, and reads their results in order.

    Args:
        log: called with a line for each further error.
        wait_for: called with tasks and seconds; returns those that end within this time.
        get: returns the result of a task that ended, or raises its error.
    """

    def __init__(
        self,
        log: Callable[[str], None],
        wait_for: Callable[[list[Any], float], list[Any]],
        get: Callable[[Any], Any],
    ):
        self._log, self._wait_for, self._get = log, wait_for, get
        self._is_stopping = threading.Event()

    @contextmanager
    def queue(self) -> Iterator[deque[Any]]:
        """Hold the tasks of one `map`. After an error, errors of the other tasks are logged."""
        waiting: deque[Any] = deque()
        try:
            yield waiting
        except CancelledError:
            raise
        except Exception:
            self._log_errors(list(waiting))
            raise

    def next_result(self, queue: deque[Any]) -> Any:
        """Wait for the first task of a queue, remove it, and return its result or raise its error.

        Raises:
            CancelledError: another call failed, see `stop`.
        """
        task = queue.popleft()
        while not self._is_stopping.is_set():
            if self._wait_for([task], _POLL_SECONDS):
                return self._get(task)
        raise CancelledError

    def next_call(self, call: Future[T], calls: Sequence[Future[T]]) -> T:
        """Wait for a call in another thread and return its result. An error of any of the calls ends the wait.

        Args:
            call: the call. The calls before it in `calls` have results.
            calls: all calls.

        Raises:
            Exception: the first error in the order of the calls, of those that ended.
        """
        while not call.done() and not any(map(_has_failed, calls)):
            wait([other for other in calls if not other.done()], return_when=FIRST_COMPLETED)
        if not call.done() or _has_failed(call):
            for other in calls:
                other.cancel()
            wait(calls, ERROR_SECONDS)
            for other in calls:
                if _has_failed(other):
                    other.result()
        return call.result()

    def stop(self, calls: Sequence[Future[Any]], error: BaseException) -> None:
        """Stop calls in other threads after an error of one, and log their own errors.

        Args:
            calls: all calls. Those that wait for a task or start a new one end with `CancelledError`.
            error: the error of one call, or an interrupt.
        """
        try:
            for call in calls:
                call.cancel()
        finally:
            self._is_stopping.set()
        wait(calls)
        self._is_stopping.clear()  # not after an interrupt of `wait`, because calls still run and have to end
        for call in calls:
            other = None if call.cancelled() else call.exception()
            if other is not None and other is not error and not isinstance(other, CancelledError):
                self._log_error(other)

    def _log_errors(self, tasks: list[Any]) -> None:
        """Log the errors of tasks that end soon."""
        done = self._wait_for(tasks, ERROR_SECONDS) if tasks else []
        for task in tasks:
            if task in done:
                try:
                    self._get(task)
                except Exception as e:  # the error of an earlier task is raised, and this one is logged
                    self._log_error(e)

    def _log_error(self, error: BaseException) -> None:
        cause = getattr(error, "cause", error)  # the text of an error of Ray is the traceback of the worker
        text = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"
        self._log(f"a further error: {text.splitlines()[0]}")


def _has_failed(call: Future[Any]) -> bool:
    return call.done() and not call.cancelled() and call.exception() is not None
