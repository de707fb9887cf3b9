"""The counts of an ingest, stored as `ingest.json` beside its shards.

For each corpus these equations hold exactly:
    read = below_score + not sampled + sampled
    sampled = rows + duplicates + dropped + quarantined
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from xner_ray.corpora.shard_writer import Shard
from xner_ray.errors import UserError
from xner_ray.storage.atomic import write_text
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.verify import check_file, dump_checked, load_checked

FILE = "ingest.json"
_reports: dict[tuple[int, ...], IngestReport] = {}


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
        notes: what was recognized (columns, regional variants), and warnings of the language check.
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
    notes: list[str] = field(default_factory=list, compare=False)

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
        files: SHA-256 of the other Parquet files in the folder, by name.
    """

    language: str
    seed: int
    corpora: dict[str, CorpusCount]
    shards: list[Shard]
    made_from: dict
    files: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def rows(self) -> int:
        """Pairs in all shards."""
        return sum(s.rows for s in self.shards)

    def save(self, folder: Path) -> None:
        """Write `ingest.json` into a folder, with the hashes of its files."""
        shards = {shard.file for shard in self.shards}
        files = {p.name: hash_file(p) for p in sorted(folder.glob("*.parquet")) if p.name not in shards}
        write_text(folder / FILE, dump_checked(asdict(replace(self, files=files))))


def load_report(folder: Path) -> IngestReport | None:
    """The report of a finished ingest; None where the folder has none.

    This process remembers the report of a file that does not change, because a collection has one for each generation.

    Raises:
        UserError: the file cannot be read.
    """
    path = Path(folder) / FILE
    try:
        stat = path.stat()
        key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if key not in _reports:
            tree = load_checked(path.read_bytes())
            _reports[key] = IngestReport(
                tree["language"],
                tree["seed"],
                {name: CorpusCount(**counts) for name, counts in tree["corpora"].items()},
                [Shard(**shard) for shard in tree["shards"]],
                tree["made_from"],
                tree.get("files", {}),
            )
        return _reports[key]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        remedy = "delete this file, and run again: it is made again"
        raise UserError(f"cannot be read: {e}", file=path, remedy=remedy) from e


def quarantine_files(folder: Path) -> list[Path]:
    """Files with the lines that ingest quarantined, in a folder of shards or in all generations of a collection.

    Raises:
        UserError: a file is damaged.
    """
    files = [Path(folder) / "quarantine.parquet", *sorted(Path(folder).glob("generation-*/quarantine.parquet"))]
    found = [file for file in files if file.exists()]
    for file in found:
        report = load_report(file.parent)
        if report and file.name in report.files:
            check_file(file, report.files[file.name])
    return found
