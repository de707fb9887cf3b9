"""The ledger of a projection: every pair that was read is kept, dropped for a reason, or quarantined.

Pairs that come in are counted where they are read, and pairs that go out where their verdict is known. So `check` compares two
independent counts, and finds a lost or doubled row. There is one cell for each language and corpus, a few dozen at most.
Merging adds cells up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Literal

import pyarrow as pa

from xner_ray.schema import DROPPED, DUPLICATE, KEPT, KEPT_NO_ENTITY, QUALITY_FILTERS, QUARANTINED, VERDICTS

Key = tuple[str, str]  # language, corpus
READ = "read"


class LedgerError(RuntimeError):
    """The counts do not add up: rows were lost or counted twice. A bug of this program, never the user's error."""


class Ledger:
    """Counts of read, kept, dropped and quarantined pairs, by language and corpus."""

    def __init__(self) -> None:
        self._cells: dict[Key, Counter[str]] = {}
        self._domains: dict[Key, str] = {}

    def count_read(self, language: str, corpus: str, domain: str, rows: int) -> None:
        """Count pairs that came in, with those that are quarantined or dropped later."""
        self._cell((language, corpus))[READ] += rows
        self._set_domain((language, corpus), domain)

    def count_verdicts(self, table: pa.Table) -> None:
        """Count the verdict of each row.

        Args:
            table: columns `language`, `corpus`, `domain` and `verdict` (schema.FILTERED).

        Raises:
            LedgerError: an unknown verdict, or a corpus in two domains.
        """
        keys = ["language", "corpus", "domain", "verdict"]
        for row in table.select(keys).group_by(keys).aggregate([([], "count_all")]).to_pylist():
            key, verdict = (row["language"], row["corpus"]), row["verdict"]
            if verdict not in VERDICTS:
                raise LedgerError(f"`{verdict}` is no verdict")
            self._cell(key)[verdict] += row["count_all"]
            self._set_domain(key, row["domain"])

    def count_quarantined(self, table: pa.Table) -> None:
        """Count rows of a quarantine table.

        Args:
            table: columns `language` and `corpus` (schema.QUARANTINE).
        """
        keys = ["language", "corpus"]
        for row in table.select(keys).group_by(keys).aggregate([([], "count_all")]).to_pylist():
            self._cell((row["language"], row["corpus"]))[QUARANTINED] += row["count_all"]

    def count_dropped(self, language: str, corpus: str, reason: str, rows: int) -> None:
        """Count pairs that were dropped before they became rows of a shard, such as duplicates."""
        self._cell((language, corpus))[reason] += rows

    def merge(self, other: Ledger) -> None:
        """Add the counts of another ledger."""
        for key, counts in other._cells.items():
            self._cell(key).update(counts)
        for key, domain in other._domains.items():
            self._set_domain(key, domain)

    def to_json(self) -> dict[str, Any]:
        """Totals: read, kept, kept_no_entity, dropped (by reason, with zeros), quarantined."""
        return _totals(self._cells.values())

    def by(self, dimension: Literal["language", "corpus", "domain"]) -> dict[str, dict[str, Any]]:
        """Totals as in `to_json` for each language, corpus or domain, sorted by name."""
        groups: dict[str, list[Counter[str]]] = {}
        for key, counts in self._cells.items():
            name = {"language": key[0], "corpus": key[1], "domain": self._domains.get(key, "")}[dimension]
            groups.setdefault(name, []).append(counts)
        return {name: _totals(cells) for name, cells in sorted(groups.items())}

    def kept(self, language: str, corpora: Collection[str] | None = None) -> dict[tuple[str, str], int]:
        """Numbers of kept pairs of a language, by domain and verdict (`kept`, `kept_no_entity`). `corpora`: only of these."""
        total: Counter[tuple[str, str]] = Counter()
        for (of, corpus), counts in self._cells.items():
            if of == language and (corpora is None or corpus in corpora):
                for verdict in (KEPT, KEPT_NO_ENTITY):
                    total[self._domains.get((of, corpus), ""), verdict] += counts[verdict]
        return dict(total)

    def to_rows(self) -> list[dict[str, Any]]:
        """All cells as JSON objects (language, corpus, domain, counts), for `from_rows`."""
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
        """The ledger with the cells of `to_rows`."""
        ledger = cls()
        for row in rows:
            key = (row["language"], row["corpus"])
            ledger._cell(key).update(row["counts"])
            if row["domain"]:
                ledger._set_domain(key, row["domain"])
        return ledger

    def check(self) -> None:
        """Check that read = kept + kept_no_entity + dropped + quarantined in every cell.

        Raises:
            LedgerError: the counts of a cell do not add up.
        """
        for (language, corpus), counts in sorted(self._cells.items()):
            accounted = sum(n for name, n in counts.items() if name != READ)
            if counts[READ] != accounted:
                parts = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()) if name != READ)
                raise LedgerError(
                    f"{corpus} ({language}): {counts[READ]} pairs read, {accounted} accounted for ({parts})"
                )

    def _cell(self, key: Key) -> Counter[str]:
        return self._cells.setdefault(key, Counter())

    def _set_domain(self, key: Key, domain: str) -> None:
        known = self._domains.setdefault(key, domain)
        if known != domain:
            raise LedgerError(f"corpus `{key[1]}` ({key[0]}) is in two domains: `{known}` and `{domain}`")


def _totals(cells: Iterable[Counter[str]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for counts in cells:
        total.update(counts)
    return {
        READ: total[READ],
        KEPT: total[KEPT],
        KEPT_NO_ENTITY: total[KEPT_NO_ENTITY],
        "dropped": {reason: total[reason] for reason in (DUPLICATE, *DROPPED)}
        | {reason: total[reason] for reason in QUALITY_FILTERS if total[reason]},  # these filters are optional
        QUARANTINED: total[QUARANTINED],
    }
