"""Runs a stage over shards and sets aside the rows that cannot be run.

A failed shard is cut into parts, a part that fails is cut again, down to single rows. What this trades: a part is a sixteenth
and not a half, because each death costs the start of a process, which a shard of 2,000 rows then needs 3 times, not 11.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pyarrow as pa

from xner_ray.errors import UserError
from xner_ray.labeling.isolation.subprocess_worker import Done, Failed, SubprocessWorker
from xner_ray.schema import FAULT

log = logging.getLogger(__name__)

PARTS = 16
DEATHS = 2  # a row is set aside only after it killed its process so often, alone
UNFOUND = 3  # failures of a shard in which no row fails alone; then something else is wrong
FEW = 8  # so many bad rows of a shard are never too many


class Bisection:
    """Adds a stage's column to shards, with empty lists and a reason for rows that raise or kill.

    Args:
        stage: what reasons begin with.
        needs: columns that the work is given.
        column: the field that the work's column gets, a list.
        child: runs the work.
        max_share: of a shard's rows; where more fail, the run is wrong and not the rows.
    """

    def __init__(self, stage: str, needs: list[str], column: pa.Field, child: SubprocessWorker, max_share: float):
        self.stage, self.needs, self.column, self.max_share = stage, needs, column, max_share
        self.child = child

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Table, dict[str, Any]]:
        """The table with the column and `fault` (rows that have one already are left alone), and the work's notes.

        Raises:
            UserError: the work raised it, or too many rows fail. RuntimeError: the shard fails, but none of its rows.
        """
        faults = _faults(table)
        table = table.drop_columns(FAULT.name) if FAULT.name in table.column_names else table
        unfound = 0
        while True:
            rows = np.setdiff1d(np.arange(len(table)), list(faults))
            answer = self._run(table, rows, language)
            if isinstance(answer, Done):
                break
            before = len(faults)
            self._search(table, rows, language, faults)
            unfound += before == len(faults)
            if unfound == UNFOUND:
                problem = f"a shard of {len(rows)} rows fails and none of them alone: {answer.reason}"
                raise RuntimeError(f"{self.stage}: {problem}")
        reasons = np.full(len(table), None, object)
        reasons[list(faults)] = list(faults.values())
        spread = _spread(answer.column, rows, len(table), self.column)
        return table.append_column(self.column, spread).append_column(
            FAULT, pa.array(reasons, pa.string())
        ), answer.notes

    def _run(self, table: pa.Table, rows: np.ndarray, language: str) -> Done | Failed:
        asked = table.select(self.needs)
        return self.child.run(asked.take(pa.array(rows)) if len(rows) < len(table) else asked, language)

    def _search(self, table: pa.Table, rows: np.ndarray, language: str, faults: dict[int, str]) -> None:
        """Add those of the rows that fail alone to `faults`."""
        if len(rows) == 1:
            self._judge(table, int(rows[0]), language, faults)
            return
        for part in np.array_split(rows, min(PARTS, len(rows))):
            # A row by itself is judged at once: there is nothing to cut.
            if len(part) == 1 or isinstance(self._run(table, part, language), Failed):
                self._search(table, part, language, faults)

    def _judge(self, table: pa.Table, row: int, language: str, faults: dict[int, str]) -> None:
        for _ in range(DEATHS):
            answer = self._run(table, np.array([row]), language)
            if isinstance(answer, Done):
                return
            reason = answer.reason
            if not answer.died:
                break
        faults[row] = f"{self.stage}: {reason}"
        log.warning("row %d is set aside: %s", row, reason)
        if len(faults) > max(FEW, self.max_share * len(table)):
            raise UserError(
                f"{len(faults)} of a shard's {len(table)} rows cannot be run, the last: {reason}",
                key="label.max_quarantined",
                remedy="check models and input; if the rows are really so bad, raise the share",
            )


def _faults(table: pa.Table) -> dict[int, str]:
    """Row number -> reason, of the rows that an earlier stage set aside."""
    if FAULT.name not in table.column_names:
        return {}
    known = table.column(FAULT.name)
    return dict(zip(np.flatnonzero(known.is_valid()).tolist(), known.drop_null().to_pylist(), strict=True))


def _spread(column: pa.ListArray, rows: np.ndarray, total: int, field: pa.Field) -> pa.ListArray:
    """The lists of some rows as the lists of all, empty for the others."""
    lengths = np.zeros(total, np.int32)
    lengths[rows] = column.value_lengths().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), column.flatten(), type=field.type)
