"""Two loops around a device: the next inputs are made in a thread, and each result is read after the next step was started."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")
DEPTH = 2  # inputs that wait for the device; more would need more memory and save no time


def prefetched(function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """`map(function, items)`, computed in a thread, at most `DEPTH` items ahead of the caller.

    Raises:
        Exception: `function` raised it; the items before are yielded first.
    """
    waiting: deque[Future[U]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        for item in items:
            waiting.append(thread.submit(function, item))
            if len(waiting) > DEPTH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def one_late(items: Iterable[T]) -> Iterator[T]:
    """The items in their order, each after the next one was taken from `items`."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
