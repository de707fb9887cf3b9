"""Rows on which a model raises an error: they are left out and counted, or named in an error.

This is for work in one process, such as the search for examples. Labeling runs its models in child processes
(`labeling/isolation`), because there a row may also kill or stop the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from xner_ray.errors import UserError

T = TypeVar("T")
MAX_REASON_CHARS = 160
MAX_FAILING_RATIO = 0.5  # if more rows fail, the model is wrong
MIN_FAILING = 8  # so many rows may always fail


@dataclass(frozen=True)
class Guarded(Generic[T]):
    """The result of a run over the rows on which the model raises no error.

    Attributes:
        result: of the run.
        rows: int64, the numbers of these rows, sorted.
        faults: the reason of each other row.
    """

    result: T
    rows: np.ndarray
    faults: dict[int, str]


def without_failing_rows(run: Callable[[np.ndarray], T], num_rows: int) -> Guarded[T]:
    """Run a model over rows. If it raises an error, leave out the rows on which it also raises one alone.

    Args:
        run: gets row numbers, int64.
        num_rows: rows are 0 to num_rows - 1.

    Raises:
        UserError: the run raised it, or most rows fail.
        Exception: the run fails, but on no row alone.
    """
    faults: dict[int, str] = {}
    while True:
        rows = np.setdiff1d(np.arange(num_rows, dtype=np.int64), np.fromiter(faults, np.int64, len(faults)))
        try:
            return Guarded(run(rows), rows, faults)
        except UserError:
            raise
        except Exception as e:
            num_before = len(faults)
            for row, reason in _failing_rows(run, rows):
                faults[row] = reason
                if len(faults) > max(MIN_FAILING, MAX_FAILING_RATIO * num_rows):
                    problem = f"{len(faults)} of {num_rows} rows fail, the last one: {reason}"
                    raise UserError(problem, remedy="check the model and the input") from e
            if len(faults) == num_before:
                raise


def name_failing_row(run: Callable[[np.ndarray], T], num_rows: int, name: str, file: object = None) -> T:
    """Run a model over rows of which none may be left out. Arguments as `without_failing_rows`.

    Args:
        run, num_rows: as for `without_failing_rows`.
        name: of a row, such as `sentence`.
        file: that holds the rows, for the error.

    Raises:
        UserError: the run raised it, or a row fails alone; it names the first one.
        Exception: the run fails, but on no row alone.
    """
    rows = np.arange(num_rows, dtype=np.int64)
    try:
        return run(rows)
    except UserError:
        raise
    except Exception as e:
        for row, reason in _failing_rows(run, rows):
            problem = f"{name} {row + 1} makes the model fail: {reason}"
            raise UserError(problem, file=file, remedy=f"shorten or remove the {name}") from e
        raise


def _failing_rows(run: Callable[[np.ndarray], object], rows: np.ndarray) -> Iterator[tuple[int, str]]:
    """The rows that fail alone, with their reasons."""
    try:
        run(rows)
    except UserError:
        raise
    except Exception as e:
        if len(rows) == 1:
            first_line = (str(e).splitlines() or [""])[0]
            yield int(rows[0]), f"{type(e).__name__}: {first_line}"[:MAX_REASON_CHARS]
            return
        for half in np.array_split(rows, 2):
            if len(half):
                yield from _failing_rows(run, half)
