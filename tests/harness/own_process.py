"""Runs a function in a process of its own, for tests that join another Ray than that of the test session."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_own_process(function: Callable[..., T], *args: Any) -> T:
    """Return the function's value or raise its error. Function, arguments and value are pickled."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
