"""The counts of an ingest, stored as `ingest.json` beside its shards.

For each corpus these equations hold exactly:
    read = below_score + not sampled + sampled
    sampled = rows + duplicates + dropped + quarantined
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
    """Lines of one corpus by their outcome.

    Attributes:
        read: all lines of the file.
        below_score: lines whose score is below `min_score`.
        sampled: lines of the sample; without sampling all that are not below `min_score`.
        rows: pairs in the shards.
        duplicates: pairs that are in a shard already.
        quarantined: lines that cannot be used, by validity filter.
        dropped: pairs of low quality, by quality filter.
        unescaped: lines that can be used and had an escape such as `&amp;`, which was decoded.
        untagged: lines that can be used and had a tag such as `<i>`, which was removed.
        known: those of the duplicates that an earlier generation of the collection contains.
    """

    read: int = 0
    below_score: int = 0
    sampled: int = 0
    rows: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    unescaped: int = 0
    untagged: int = 0
    known: int = 0

    @property
    def num_quarantined(self) -> int:
        """Lines quarantined by any filter."""
        return sum(self.quarantined.values())

    @property
    def num_dropped(self) -> int:
        """Pairs dropped by any filter."""
        return sum(self.dropped.values())


@dataclass(frozen=True)
class IngestReport:
    """The counts and shards of one target language.

    Attributes:
        language: target language code.
        seed: seed of the sample.
        corpora: counts by label of the corpus.
        shards: files in the folder.
        made_from: the config keys that determine the shards.
    """

    language: str
    seed: int
    corpora: dict[str, CorpusCount]
    shards: list[Shard]
    made_from: dict

    @property
    def rows(self) -> int:
        """Pairs in all shards."""
        return sum(s.rows for s in self.shards)

    def save(self, folder: Path) -> None:
        """Write `ingest.json` into a folder."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def load_report(folder: Path) -> IngestReport | None:
    """The report of a finished ingest; None where the folder has none.

    Raises:
        UserError: the file cannot be read.
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
    """Files with the lines that ingest quarantined, in a folder of shards or in all generations of a collection."""
    files = [Path(folder) / "quarantine.parquet", *sorted(Path(folder).glob("generation-*/quarantine.parquet"))]
    return [file for file in files if file.exists()]
