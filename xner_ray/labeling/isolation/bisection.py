"""Runs a shard function over shards and quarantines the rows that fail.

A shard that fails is split into parts. A part that fails is split again, down to single rows. There are 16 parts and not 2,
because each death costs the start of a process: one bad row in a shard of 2,000 kills it 3 times before it runs alone, not 11.

A shard that hangs is tried once more before it is split, in a new process and on another GPU where the node has one, because a
hang is more often a fault of the machine than of a row. Later tables run on the GPU of the actor again.

A shard that kills its process on a GPU, or exhausts its memory, is split only if a sound row still runs. If it does not, the GPU
is the fault. The same is tried after a shard that hung ran on another GPU.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from xner_ray.encoders.device_errors import is_memory_exhausted
from xner_ray.errors import UserError
from xner_ray.labeling.isolation.devices import DeviceLostError, other_device
from xner_ray.labeling.isolation.subprocess_worker import ChildStartError, Done, Failed, SubprocessWorker
from xner_ray.schema import FAULT

log = logging.getLogger(__name__)

NUM_PARTS = 16
DEATHS_PER_ROW = 2  # a row is quarantined after it killed its process this often, alone
MAX_UNEXPLAINED_FAILURES = 3  # failures of a shard of which no row fails alone
MIN_QUARANTINE_LIMIT = 8  # this many bad rows of a shard are always accepted


class Bisection:
    """Adds one column to shards. Rows that raise an error or kill the process get an empty list and a fault.

    Args:
        stage: prefix of the faults.
        input_columns: columns that the function gets.
        output: field of the new column, a list.
        worker: runs the function.
        max_quarantined: largest allowed ratio of failed rows in a shard. If more rows fail, the models or the input are wrong.
        sound: a table with a row that never fails on a device that works; None: the device is not in question.
    """

    def __init__(
        self,
        stage: str,
        input_columns: Sequence[str],
        output: pa.Field,
        worker: SubprocessWorker,
        max_quarantined: float,
        sound: pa.Table | None = None,
    ):
        self.stage, self.input_columns, self.output = stage, list(input_columns), output
        self.worker, self.max_quarantined, self.sound = worker, max_quarantined, sound

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Table, dict[str, Any]]:
        """Run the function over the rows that have no fault yet.

        Args:
            table: one shard, perhaps with the column `fault`.
            language: target language of the shard.

        Returns:
            The table with the new column and `fault`, and the notes of the function.

        Raises:
            UserError: the function raised it, or too many rows fail.
            DeviceLostError: the process dies for a sound row too, has no memory for it, or cannot start again.
            RuntimeError: the shard fails, but none of its rows fails alone.
        """
        faults = _faults(table)
        table = table.drop_columns(FAULT.name) if FAULT.name in table.column_names else table
        unexplained = 0
        while True:
            rows = np.setdiff1d(np.arange(len(table)), list(faults))
            answer = self._run(table, rows, language)
            if isinstance(answer, Failed) and answer.hung:
                log.warning("a shard of %d rows %s; it is tried once more", len(rows), answer.reason)
                answer = self._run_elsewhere(table, rows, language) or self._run(table, rows, language)
            if isinstance(answer, Done):
                break
            if _may_be_the_device(answer):
                self._check_device(language)
            num_before = len(faults)
            self._find_faults(table, rows, language, faults)
            unexplained += num_before == len(faults)
            if unexplained == MAX_UNEXPLAINED_FAILURES:
                problem = f"a shard of {len(rows)} rows fails and none of them alone: {answer.reason}"
                raise RuntimeError(f"{self.stage}: {problem}")
        reasons = np.full(len(table), None, object)
        reasons[list(faults)] = list(faults.values())
        column = _scatter_lists(answer.column, rows, len(table), self.output)
        table = table.append_column(self.output, column)
        return table.append_column(FAULT, pa.array(reasons, pa.string())), answer.notes

    def _run(self, table: pa.Table, rows: np.ndarray, language: str) -> Done | Failed:
        if not len(rows):
            return Done(pa.array([], self.output.type), {})  # an earlier stage quarantined every row
        inputs = table.select(self.input_columns)
        with self._explained_starts():
            return self.worker.run(inputs.take(pa.array(rows)) if len(rows) < len(table) else inputs, language)

    def _run_elsewhere(self, table: pa.Table, rows: np.ndarray, language: str) -> Done | Failed | None:
        """Run a shard on another GPU of the node, and check the GPU of this actor; None: no other GPU can run it."""
        if not (environment := other_device()):
            return None
        answer = None
        try:
            self.worker.restart(environment)
            answer = self.worker.run(table.select(self.input_columns).take(pa.array(rows)), language)
        except ChildStartError as e:
            log.warning("another GPU cannot run the shard: %s", e)
        with self._explained_starts():
            self.worker.restart()
        self._check_device(language)
        return answer

    def _check_device(self, language: str) -> None:
        if self.sound is None:
            return
        with self._explained_starts():
            answer = self.worker.run(self.sound, language)
        if isinstance(answer, Failed) and _may_be_the_device(answer):
            raise DeviceLostError(f"with a sound row: {answer.reason}")

    @contextlib.contextmanager
    def _explained_starts(self) -> Iterator[None]:
        """A child that cannot start again shows a lost device, where the device is in question."""
        try:
            yield
        except ChildStartError as e:
            if self.sound is None:
                raise
            raise DeviceLostError(str(e)) from e

    def _find_faults(self, table: pa.Table, rows: np.ndarray, language: str, faults: dict[int, str]) -> None:
        """Add the rows that fail alone to `faults`."""
        if len(rows) == 1:
            self._run_alone(table, int(rows[0]), language, faults)
            return
        for part in np.array_split(rows, min(NUM_PARTS, len(rows))):
            if len(part) == 1 or isinstance(self._run(table, part, language), Failed):
                self._find_faults(table, part, language, faults)

    def _run_alone(self, table: pa.Table, row: int, language: str, faults: dict[int, str]) -> None:
        for _ in range(DEATHS_PER_ROW):
            answer = self._run(table, np.array([row]), language)
            if isinstance(answer, Done):
                return
            reason = answer.reason
            if not answer.died or answer.hung:  # a row that hangs alone hung within its shard before
                break
        faults[row] = f"{self.stage}: {reason}"
        log.warning("row %d is quarantined: %s", row, reason)
        if len(faults) > max(MIN_QUARANTINE_LIMIT, self.max_quarantined * len(table)):
            raise UserError(
                f"{len(faults)} of a shard's {len(table)} rows fail, the last one: {reason}",
                key="label.max_quarantined",
                remedy="check the models and the input; if so many rows are really bad, raise the ratio",
            )


def _may_be_the_device(answer: Failed) -> bool:
    return answer.died or is_memory_exhausted(answer.reason)


def _faults(table: pa.Table) -> dict[int, str]:
    """Row number -> reason, of the rows that failed in an earlier stage."""
    if FAULT.name not in table.column_names:
        return {}
    column = table.column(FAULT.name)
    return dict(zip(np.flatnonzero(column.is_valid()).tolist(), column.drop_null().to_pylist(), strict=True))


def _scatter_lists(column: pa.ListArray, rows: np.ndarray, num_rows: int, field: pa.Field) -> pa.ListArray:
    """A list column of `num_rows` rows: the given lists at `rows`, empty lists elsewhere."""
    lengths = np.zeros(num_rows, np.int32)
    lengths[rows] = column.value_lengths().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), column.flatten(), type=field.type)
