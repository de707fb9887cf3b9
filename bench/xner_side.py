"""The side `xner` of the throughput benchmark: the label stage on a Ray that is already started.

Ray Data waits until all actors have started before it reads the first shard. So start-up ends before the clock starts; it is
reported separately. Each round commits to its own store, with the fingerprint, plan, preflight and graph of `xner label`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench import timed
from bench.inputs import LABEL
from xner_ray.labeling import graph
from xner_ray.labeling.shard_functions import ShardFunctions
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.pipeline.stages.label import Label

ACTOR_START_TIMEOUT = 600  # seconds for all actors to start


@contextlib.contextmanager
def warm_ray(cores: list[int], device: str, work: Path) -> Iterator[None]:
    """Start Ray on these cores for all rounds. Its processes inherit the core affinity."""
    event_folder = work / "events"
    event_folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {timed.FOLDER: str(event_folder), timed.DEVICE: device}
    os.environ |= {"RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    import ray

    from xner_ray.preflight.ray_session import start_local

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        start_local(
            num_cpus=len(cores),
            num_gpus=None if device == "cuda" else 0,
            object_store_memory=400 * 2**20,
            _temp_dir=folder,
        )
        try:
            yield
        finally:
            ray.shutdown()


class XnerSide:
    """Runs the label stage; each call is one round.

    Args:
        work: working folder of the benchmark.
        teacher, aligner: model folders.
    """

    def __init__(
        self, work: Path, language: str, teacher: str, aligner: str, shards: int, precision: str, budget: int
    ):
        self.work, self.language = work, language
        self.teacher, self.aligner = teacher, aligner
        self.rounds: list[dict[str, Any]] = []
        pairs = work / "pairs.tsv"
        count = len(pairs.read_text(encoding="utf-8").splitlines())
        self.config = work / "label.yaml"
        self.config.write_text(
            LABEL.format(
                out=work / "label", language=language, pairs=pairs, count=count, rows=-(-count // shards),
                budget=budget, precision=precision,
            ),
            encoding="utf-8",
        )  # fmt: skip
        shutil.rmtree(work / "label", ignore_errors=True)

    def context(self, store: str) -> Context:
        """A context whose labeled shards go to the folder `store`."""
        from xner_ray.config.load import load_config

        config = load_config(self.config, [f"label.output_uri={self.work / store}"])
        return Context.open(config, self.config, log=lambda line: None)

    def tables(self) -> list[Any]:
        """The ingested shards, in order."""
        import pyarrow.parquet as pq

        return [pq.read_table(s.path) for s in complete(self.context("none"), Ingest(), {}).shards()]

    def __call__(self) -> float:
        """Run one round; returns the seconds from the first batch to the last commit."""
        import ray.data

        graph.PrepareShards, graph.CommitShards = timed.TimedPrepare, timed.TimedCommit  # type: ignore[misc]
        graph.ReadLabelAlignCommit = timed.TimedWhole  # type: ignore[misc]
        stage = Label(functions=ShardFunctions(label=timed.TimedLabel, align=timed.TimedAlign))
        for file in (self.work / "events").glob("*"):
            file.unlink()
        store = f"round-{len(self.rounds)}"
        shutil.rmtree(self.work / store, ignore_errors=True)
        ctx = self.context(store)
        teachers = SimpleNamespace(teachers=lambda: {self.language: Path(self.teacher)})
        inputs = {"ingest": complete(ctx, Ingest(), {}), "teacher": teachers, "aligner": Path(self.aligner)}
        ctx.executor.connect()
        ray.data.DataContext.get_current().wait_for_min_actors_s = ACTOR_START_TIMEOUT
        began = time.monotonic()
        complete(ctx, stage, inputs)
        events = timed.read_events(self.work / "events")
        account = timed.account(events, self._slots())
        account["startup"] = account.pop("first") - began
        account["quarantined"] = self._quarantined(store)
        self.rounds.append(account)
        return account["seconds"]

    def _slots(self) -> int:
        import ray

        gpus = int(ray.cluster_resources().get("GPU", 0))
        return 2 * gpus or int(ray.cluster_resources()["CPU"])

    def _quarantined(self, store: str) -> int:
        manifests = (self.work / store).glob("label/*/manifest/*.json")
        return sum(json.loads(m.read_text())["extra"]["quarantined"] for m in manifests)
