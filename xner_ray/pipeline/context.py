"""What all stages of a run share: config, folders, the Ray session, and lines that tell what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

from xner_ray.config import Config, GoldConfig
from xner_ray.corpora.opus.resolve import resolve
from xner_ray.corpora.readers.archive import file_identity
from xner_ray.errors import UserError
from xner_ray.evaluation.decontamination import HeldOut
from xner_ray.observability.logs import run_logger
from xner_ray.observability.metrics import Recorder
from xner_ray.observability.progress import Progress
from xner_ray.observability.work_log import log_work
from xner_ray.preflight.checks import refuse_url
from xner_ray.preflight.ray_session import connect
from xner_ray.storage.fingerprint import hash_file, hash_folder
from xner_ray.storage.stage_dir import StageDir, claim_out, open_stage
from xner_ray.training.backends.nodes import nodes_up
from xner_ray.training.job import TrainJob, TrainResources
from xner_ray.training.resource_split import cpus_per_worker

T = TypeVar("T")

# Versions of what the stages do: raise one when its results change for the same config, and they are made anew.
VERSIONS = {"ingest": 2, "english": 2, "aligner": 2, "label": 6, "dataset": 3, "student": 2}


class Run:
    """One run over one config.

    Args:
        config: the checked config.
        config_file: for messages.
        say: where progress lines go; default: standard output, in the form that XNER_LOG asks for.
    """

    def __init__(self, config: Config, config_file: str | Path = "", log: Callable[[str], None] | None = None):
        refuse_url(config.out)
        self.log, self._watched = log or run_logger(config.name), None if log is None else False
        self.metrics = Recorder(config.name)
        self.config, self.config_file = resolve(config, self.log), str(config_file)
        self.out = Path(config.out).absolute()
        self.seconds: dict[str, float] = {}
        self.results: dict[str, Any] = {}  # of stages that this run already went through, see `once`
        claim_out(self.out, config.name, config_file)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a stage to the run's account."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.monotonic() - began, 1)

    def work(self, stage: str, of: str, **amount: int) -> AbstractContextManager[dict[str, int]]:
        """Write down what is really done, for the report; see `observability.work_log`."""
        return log_work(self.out, stage, of, **amount)

    def progress(self, stage: str, shards: int, pairs: int) -> Progress:
        """A context that tells how far a stage is: a bar on a terminal, else lines."""
        return Progress(self.log, stage, shards, pairs, self._watched)

    def folder(self, stage: str, parts: Mapping[str, Any], version: str | None = None) -> StageDir:
        """The folder of a stage for these parts; says what changed where another one was used before."""
        folder = open_stage(self.out, stage, {**parts, "version": VERSIONS[version or stage]})
        for line in _brief(folder.changes()):
            self.log(f"[{stage}] changed: {line}")
        return folder

    def ray(self) -> None:
        """Join the cluster, or start a local Ray, once."""
        connect(self.config.ray)

    def train(self, jobs: list[TrainJob]) -> None:
        """Train models in Ray tasks or under Ray Train, see `ray_train.fit`; nothing to do for none."""
        if jobs:
            from xner_ray.training.backends.ray_train import fit

            self.ray()
            settings = self.config.ray
            resources = TrainResources(settings.train_workers, settings.min_train_workers, settings.max_gpus)
            fit(jobs, self.out / "ray_train", resources, self.log)

    def compute(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work(*arguments, threads)` returns, run as a Ray task with a GPU or a node's CPUs: a driver may have neither."""
        self.ray()
        import ray

        nodes = nodes_up()
        gpu = bool(self.config.ray.max_gpus) or any(node.get("GPU", 0) >= 1 for node in nodes)
        threads = 1 if gpu else cpus_per_worker(nodes, 1)
        task = ray.remote(num_cpus=threads, num_gpus=int(gpu))(work)
        return ray.get(task.remote(*arguments, threads))

    def varied(self, config: Config) -> Run:
        """A run beside this one, of the same pairs and labels: its config may differ in `dataset` and `student`."""
        other = Run(config, self.config_file, self.log)
        other._watched = self._watched
        other.results = {k: v for k, v in self.results.items() if k not in ("dataset", "students", "evaluate_all")}
        return other

    def gold_parts(self, gold: list[GoldConfig]) -> list[dict[str, Any]]:
        """What identifies gold files: their content and how they are read."""
        parts = []
        for item in gold:
            path = self.config.fill(item.path)
            if not Path(path).is_file():
                raise UserError(
                    "no such gold file", file=path, key="gold.path", remedy="check the path and the key `data`"
                )
            parts.append({"sha256": hash_file(path), **item.fingerprint()})
        return parts

    @cached_property
    def held_out(self) -> HeldOut:
        """The sentences of all evaluation files, which nothing trains on."""
        self.gold_parts(self.measured)
        return HeldOut.of((gold, self.config.fill(gold.path)) for gold in self.measured)

    @property
    def measured(self) -> list[GoldConfig]:
        """Evaluation files in a language of the run's or of its gold; no other one is read, or need be there."""
        read = {*self.config.languages, *(gold.language for gold in self.config.gold)}
        return [gold for gold in (*self.config.dev, *self.config.evaluation) if gold.language in read]

    def corpus_parts(self, language: str) -> list[dict[str, Any]]:
        """What identifies the corpora of a language; a changed file is another corpus."""
        parts = []
        for corpus in self.config.corpora_of(language):
            files = [self.config.fill(p, language) for p in (corpus.path, corpus.target_path) if p]
            parts.append(
                {
                    "corpus": corpus.model_dump(exclude={"path", "target_path", "languages"}),
                    "files": [file_identity(f) for f in files],
                }
            )
        return parts


def _brief(changes: list[str], most: int = 3, width: int = 160) -> list[str]:
    """Changes as `describe_change` gives them; many below one key, such as all shards, are one line; a long line, such as
    one of all sentences held out, is cut, since `parts.json` holds it whole.
    """
    groups: dict[str, list[str]] = {}
    for line in changes:
        groups.setdefault(line.split(":")[0].split(".")[0], []).append(line)
    return [
        line if len(line) <= width else f"{line[:width]}... (whole in parts.json)"
        for key, lines in groups.items()
        for line in (lines if len(lines) <= most else [f"{key}: {len(lines)} differences"])
    ]


def once(stage: Callable[[Run], T]) -> Callable[[Run], T]:
    """A stage that later stages ask for again is gone through once a run, and tells its story once."""

    @wraps(stage)
    def remembered(run: Run) -> T:
        if stage.__name__ not in run.results:
            run.results[stage.__name__] = stage(run)
        return run.results[stage.__name__]

    return remembered


def model_identity(folder: str | Path) -> str:
    """Hash of weights, config and tokenizer of a model folder."""
    return hash_folder(folder)
