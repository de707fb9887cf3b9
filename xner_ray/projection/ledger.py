"""The books of a projection: every pair that was read is kept, dropped for a reason, or quarantined.

What comes in is counted where pairs are read, what goes out where verdicts are known, so `check` compares two
independent counts and a lost or doubled row cannot hide. Cells are (language, corpus), a few dozen at most; merging
adds them up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa

from xner_ray.schema import CLEANED, DROPPED, DUPLICATE, KEPT, KEPT_NO_ENTITY, QUARANTINED, VERDICTS

Key = tuple[str, str]  # language, corpus
READ = "read"


class LedgerError(RuntimeError):
    """The books do not add up: rows were lost or counted twice. A bug of ours, never the user's fault."""


class Ledger:
    """Counts of read, kept, dropped and quarantined pairs, by language and corpus."""

    def __init__(self) -> None:
        self._cells: dict[Key, Counter[str]] = {}
        self._domains: dict[Key, str] = {}

    def read(self, language: str, corpus: str, domain: str, rows: int) -> None:
        """Count pairs that came in, those that are quarantined later included."""
        self._cell((language, corpus))[READ] += rows
        self._domain((language, corpus), domain)

    def add(self, table: pa.Table) -> None:
        """Count verdicts.

        Args:
            table: columns language, corpus, domain and verdict (schema.JUDGED); each row counts under its verdict.
        """
        keys = ["language", "corpus", "domain", "verdict"]
        for row in table.select(keys).group_by(keys).aggregate([([], "count_all")]).to_pylist():
            key, verdict = (row["language"], row["corpus"]), row["verdict"]
            if verdict not in VERDICTS:
                raise LedgerError(f"`{verdict}` is no verdict")
            self._cell(key)[verdict] += row["count_all"]
            self._domain(key, row["domain"])

    def add_quarantine(self, table: pa.Table) -> None:
        """Count quarantined rows (schema.QUARANTINE), each once for each row of the table."""
        keys = ["language", "corpus"]
        for row in table.select(keys).group_by(keys).aggregate([([], "count_all")]).to_pylist():
            self._cell((row["language"], row["corpus"]))[QUARANTINED] += row["count_all"]

    def add_dropped(self, language: str, corpus: str, reason: str, rows: int) -> None:
        """Count pairs that were dropped before they became rows of a shard, such as duplicates."""
        self._cell((language, corpus))[reason] += rows

    def merge(self, other: Ledger) -> None:
        for key, counts in other._cells.items():
            self._cell(key).update(counts)
        for key, domain in other._domains.items():
            self._domain(key, domain)

    def to_json(self) -> dict[str, Any]:
        """Totals: read, kept, kept_no_entity, dropped by reason (each is there), quarantined."""
        return _json(self._cells.values())

    def by(self, what: Literal["language", "corpus", "domain"]) -> dict[str, dict[str, Any]]:
        """Totals as in `to_json` for each language, corpus or domain, sorted by name."""
        groups: dict[str, list[Counter[str]]] = {}
        for key, counts in self._cells.items():
            name = {"language": key[0], "corpus": key[1], "domain": self._domains.get(key, "")}[what]
            groups.setdefault(name, []).append(counts)
        return {name: _json(cells) for name, cells in sorted(groups.items())}

    def to_rows(self) -> list[dict[str, Any]]:
        """All cells, for a file; `from_rows` reads them back."""
        return [
            {
                "language": key[0],
                "corpus": key[1],
                "domain": self._domains.get(key, ""),
                "counts": dict(sorted(counts.items())),
            }
            for key, counts in sorted(self._cells.items())
        ]

    @classmethod
    def from_rows(cls, rows: Iterable[dict[str, Any]]) -> Ledger:
        ledger = cls()
        for row in rows:
            key = (row["language"], row["corpus"])
            ledger._cell(key).update(row["counts"])
            if row["domain"]:
                ledger._domain(key, row["domain"])
        return ledger

    def check(self) -> None:
        """Raise a LedgerError unless in = kept + kept_no_entity + dropped + quarantined in every cell."""
        for (language, corpus), counts in sorted(self._cells.items()):
            out = sum(n for name, n in counts.items() if name != READ)
            if counts[READ] != out:
                parts = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()) if name != READ)
                raise LedgerError(f"{corpus} ({language}): {counts[READ]} pairs read, {out} accounted for ({parts})")

    def _cell(self, key: Key) -> Counter[str]:
        return self._cells.setdefault(key, Counter())

    def _domain(self, key: Key, domain: str) -> None:
        known = self._domains.setdefault(key, domain)
        if known != domain:
            raise LedgerError(f"corpus `{key[1]}` ({key[0]}) is in two domains: `{known}` and `{domain}`")


def _json(cells: Iterable[Counter[str]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for counts in cells:
        total.update(counts)
    return {
        "read": total[READ],
        "kept": total[KEPT],
        "kept_no_entity": total[KEPT_NO_ENTITY],
        "dropped": {reason: total[reason] for reason in (DUPLICATE, *DROPPED)}
        | {reason: total[reason] for reason in CLEANED if total[reason]},  # these rules are optional
        "quarantined": total[QUARANTINED],
    }
