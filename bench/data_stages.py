"""Measures the stages `ingest` and `dataset` in one process and in Ray tasks: speed, and peak memory of the driver.

    python -m bench.data_stages --pairs 2000000 --lines 200000 --json OUT

`dataset` chooses training sentences from filtered shards of 10,000 synthetic pairs. `ingest` reads two languages with two Moses
archives each. Ray is up before the clock starts. Each case runs in its own process. The JSON is
`{case: {seconds, pairs_per_second, driver_mb, driver_mb_before}}`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.config import Config, DatasetConfig, RayConfig, RulesConfig
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import Executor, InProcess, RayExecutor
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.dataset import sample_filtered
from xner_ray.pipeline.stages.filter import Filtered
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.shard_store import ShardStore

SHARD_ROWS = 10_000
WORDS = {
    "en": [
        "the",
        "of",
        "and",
        "to",
        "in",
        "is",
        "that",
        "was",
        "for",
        "with",
        "his",
        "house",
        "they",
        "which",
        "would",
        "people",
        "there",
        "about",
        "when",
    ],
    "de": [
        "der",
        "die",
        "und",
        "das",
        "nicht",
        "mit",
        "wurde",
        "auch",
        "zwischen",
        "werden",
        "durch",
        "Häuser",
        "Wasser",
        "jedoch",
        "über",
    ],
    "es": [
        "el",
        "la",
        "los",
        "que",
        "para",
        "con",
        "una",
        "pero",
        "también",
        "entre",
        "desde",
        "cuando",
        "había",
        "años",
        "después",
        "país",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000_000, help="filtered pairs")
    parser.add_argument("--sentences", type=int, default=40_000, help="training sentences")
    parser.add_argument("--lines", type=int, default=200_000, help="lines of each of four archives")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_filtered(root / "filter", args.pairs)
        write_archives(root, args.lines)
        for stage, size in (("dataset", args.pairs), ("ingest", 4 * args.lines)):
            for place in ("process", "tasks"):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    row = pool.submit(measure, stage, place, root, size, args.sentences).result()
                results[f"{stage} {place}"] = row
                print(
                    f"{stage:8} {place:8} " + "  ".join(f"{key} {value:,.1f}" for key, value in row.items()),
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(stage: str, place: str, root: Path, pairs: int, sentences: int) -> dict[str, float]:
    """Run a stage once."""
    executor: Executor = InProcess()
    if place == "tasks":
        executor = RayExecutor(RayConfig(), root, print)
        list(executor.map(abs, range(4)))
    run: Callable[[Path, Executor, int], object] = choose if stage == "dataset" else read
    before, started = peak_mb(), time.perf_counter()
    run(root, executor, sentences)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "pairs_per_second": pairs / seconds,
        "driver_mb": peak_mb(),
        "driver_mb_before": before,
    }


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def choose(root: Path, executor: Executor, sentences: int) -> None:
    """Run the sampling of the stage `dataset`."""
    store = ShardStore(root / "filter")
    manifests = store.committed()
    cells = (cell for manifest in manifests.values() for cell in manifest.extra["ledger"])
    filtered = Filtered(root / "filter", manifests, {}, Ledger.from_rows(cells))
    ctx = context(root, executor)
    settings = DatasetConfig(max_sentences=sentences)
    sample_filtered(ctx, filtered, "de", root / f"{type(executor).__name__}.parquet", settings, 1)


def read(root: Path, executor: Executor, sentences: int) -> None:
    """Run the stage `ingest`."""
    complete(context(root, executor), Ingest(), {})


def context(root: Path, executor: Executor) -> Context:
    corpora = [
        {"name": name, "format": "moses", "path": str(root / f"{name}-{language}.zip"), "languages": [language]}
        for language in ("de", "es")
        for name in "ab"
    ]
    config = Config(
        name="bench",
        out=str(root / type(executor).__name__),
        languages=["de", "es"],
        gold=[{"path": "none"}],
        corpora=corpora,
        ingest={"max_pairs_per_language": None, "shard_rows": SHARD_ROWS, "clean": {}},
    )
    return Context.open(config, log=lambda line: None, executor=executor)


def write_archives(root: Path, lines: int) -> None:
    draw = random.Random(1)
    for language in ("de", "es"):
        for name in "ab":
            with zipfile.ZipFile(root / f"{name}-{language}.zip", "w", zipfile.ZIP_DEFLATED) as file:
                for code in ("en", language):
                    text = "".join(" ".join(draw.choices(WORDS[code], k=15)) + "\n" for _ in range(lines))
                    file.writestr(f"N.{code}", text)


def write_filtered(root: Path, pairs: int) -> None:
    """Write filtered shards. Half of the pairs have an entity; the shards differ in their pair ids alone."""
    draw, rows = random.Random(1), []
    for i in range(SHARD_ROWS):
        entity = {"start": 0, "end": 4, "type": "LOC", "score": 0.9}
        span = {"entity": 0, "start": 0, "end": 4, "score": 0.9, "aligner": 0.9, "similarity": None}
        has_entity = i % 4 < 2
        row = {
            "corpus": "ab"[i % 2],
            "domain": "d",
            "language": "de",
            "pair_id": i,
            "corpus_score": None,
            "fault": None,
        }
        for side, code in (("source", "en"), ("target", "de")):
            row[side] = "Bonn " + " ".join(draw.choices(WORDS[code], k=20))
        rows.append(row | {"entities": [entity] * has_entity, "projections": [span] * has_entity})
    table = assign_verdicts(pa.Table.from_pylist(rows, schema=schema.ALIGNED), RulesConfig())
    ledger, store, at = Ledger(), ShardStore(root), table.schema.get_field_index("pair_id")
    ledger.count_verdicts(table)
    for n in range(pairs // SHARD_ROWS):
        ids = pa.array(np.arange(SHARD_ROWS) + n * SHARD_ROWS)
        store.commit(
            f"de-{n:06d}", table.set_column(at, table.schema.field(at), ids), "", {"ledger": ledger.to_rows()}
        )


if __name__ == "__main__":
    main()
