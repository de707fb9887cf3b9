"""From archives to shards, for one target language. Archives are streamed and never unpacked to disk.

There are two ways, with the same readers, filters and shards. With `ingest.max_pairs_per_language` the sample is drawn
first (sampled_ingest.py). Only sampled rows are decoded, filtered, cleared of exact duplicates and mixed across corpora, all in
memory. The sample is a prefix of each larger sample, so the shards of both are the same but for the last of the smaller one.
Without it, every pair is streamed in the order of corpora and lines, and duplicates are found by sorted runs of keys on
disk (generation.py). This takes constant memory and does not shuffle.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from xner_ray.config import Config
from xner_ray.corpora.generation import Mapper, build_generation
from xner_ray.corpora.ingest_report import CorpusCount, IngestReport, load_report
from xner_ray.corpora.readers.corpus_reader import Progress, Source, sources_of
from xner_ray.corpora.sampled_ingest import ingest_sample
from xner_ray.corpora.shard_writer import Shard
from xner_ray.errors import UserError
from xner_ray.storage.atomic import new_dir


def ingest(
    config: Config,
    language: str,
    out: Path,
    progress: Progress | None = None,
    mapper: Mapper = map,
    read_mapper: Mapper | None = None,
) -> IngestReport:
    """Read, sample, clean and shard the corpora of one target language.

    Args:
        config: its `corpora`, `ingest` and `seed` determine the shards.
        language: target language, ISO 639-1.
        out: a folder that appears when the ingest is complete. A complete one is not changed.
        progress: called with the label of a corpus and the number of lines read so far.
        mapper: runs the tasks, see generation.py and sampled_ingest.py. Without `progress` it may use other processes.
        read_mapper: runs the tasks that read corpora, which may be from servers. Default: `mapper`.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable, or `out` was made with another config.
    """
    out, made_from = Path(out), _made_from(config, language)
    if (finished := load_report(out)) is not None:
        _check_same(finished, made_from, out)
        return finished
    with new_dir(out, "out") as folder:
        sources = sources_of(config, language)
        if config.ingest.max_pairs_per_language is None:
            counts, shards = _ingest_all(folder, sources, progress, mapper, read_mapper)
        else:
            total = config.ingest.max_pairs_per_language
            counts, shards = ingest_sample(folder, sources, config.seed, total, progress, mapper, read_mapper)
        report = IngestReport(language, config.seed, counts, shards, made_from)
        if not report.rows:
            remedy = "check the files, `min_score` and the filters under `ingest.clean`"
            raise UserError(f"no pair of `{language}` is left: {_summary(counts)}", key="corpora", remedy=remedy)
        report.save(folder)
    return report


def _ingest_all(
    folder: Path, sources: list[Source], progress: Progress | None, mapper: Mapper, read_mapper: Mapper | None
) -> tuple[dict[str, CorpusCount], list[Shard]]:
    staging, sources = folder / "staging", sorted(sources, key=lambda s: s.label)
    folders = {source.label: staging / str(i) for i, source in enumerate(sources)}
    generation = build_generation(folder, folders, sources, mapper=mapper, progress=progress, read_mapper=read_mapper)
    shutil.rmtree(staging)
    return generation.counts, generation.shards


def _summary(counts: dict[str, CorpusCount]) -> str:
    return "; ".join(
        f"{name}: read {c.read}, below min_score {c.below_score}, quarantined {c.num_quarantined}, dropped {c.num_dropped}"
        for name, c in counts.items()
    )


def _made_from(config: Config, language: str) -> dict:
    """The config keys that determine the shards; `max_quarantined` and `data` do not."""
    corpora = [c.model_dump(mode="json", exclude={"languages"}) for c in config.corpora_of(language)]
    keys = {key: value for key, value in config.ingest.fingerprint().items() if key != "max_quarantined"}
    return {"corpora": corpora, "ingest": keys, "seed": config.seed, "languages": [config.source_language, language]}


def _check_same(finished: IngestReport, made_from: dict, out: Path) -> None:
    for key, value in made_from.items():
        if finished.made_from.get(key) != value:
            remedy = "choose another `out` (or `name`), or remove the folder"
            raise UserError("was made with another config", file=out, key=key, remedy=remedy)
