"""What ingest did, as numbers that add up: `ingest.json`, beside the shards it tells of.

Per corpus, exactly:  read = below_score + not_sampled + sampled,
sampled = rows + duplicates + dropped + quarantined.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xner_ray.corpora.shard_writer import Shard
from xner_ray.errors import UserError

FILE = "ingest.json"


@dataclass
class CorpusCount:
    """Lines of one corpus, by what became of them; `read` counts every line of the file.

    dropped: by quality filter. quarantined: by validity filter. known: those of the duplicates that an earlier generation of a
    collection has.
    """

    read: int = 0
    below_score: int = 0
    sampled: int = 0
    rows: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    known: int = 0

    @property
    def not_sampled(self) -> int:
        return self.read - self.below_score - self.sampled

    @property
    def rejected(self) -> int:
        return sum(self.quarantined.values())

    @property
    def turned_away(self) -> int:
        return sum(self.dropped.values())


@dataclass(frozen=True)
class IngestReport:
    """`made_from` holds the config keys that decide about the content."""

    language: str
    seed: int
    corpora: dict[str, CorpusCount]
    shards: list[Shard]
    made_from: dict

    @property
    def rows(self) -> int:
        return sum(s.rows for s in self.shards)

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def load_report(folder: Path) -> IngestReport | None:
    """The report of a finished ingest, or None where there is none.

    Raises:
        UserError: it is there but cannot be read.
    """
    path = Path(folder) / FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return IngestReport(
            tree["language"],
            tree["seed"],
            {name: CorpusCount(**counts) for name, counts in tree["corpora"].items()},
            [Shard(**shard) for shard in tree["shards"]],
            tree["made_from"],
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"cannot be read: {e}", file=path, remedy="remove the folder and ingest again") from e


def quarantine_files(folder: Path) -> list[Path]:
    """The lines that ingest set aside: of one folder of shards, or of all generations of a collection."""
    files = [Path(folder) / "quarantine.parquet", *sorted(Path(folder).glob("generation-*/quarantine.parquet"))]
    return [file for file in files if file.exists()]
