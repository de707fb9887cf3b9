"""What the stages of a run share: the config, the output directory, the executor, and where progress is reported."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from xner_ray.config import Config, GoldConfig
from xner_ray.corpora.opus.resolve import resolve_corpora
from xner_ray.corpora.readers.archive import file_identity
from xner_ray.encoders.load import encoder_folder, local_encoder
from xner_ray.encoders.vocab_trimming import trimmed_folder, vocabulary_identity
from xner_ray.errors import UserError
from xner_ray.ner.source_gold import read_gold
from xner_ray.observability.logs import Log, run_logger
from xner_ray.observability.metrics import Recorder
from xner_ray.observability.progress import Progress
from xner_ray.observability.work_log import log_work
from xner_ray.pipeline.executors import Executor, RayExecutor
from xner_ray.preflight.checks import refuse_url
from xner_ray.storage.fingerprint import hash_file, hash_folder
from xner_ray.storage.stage_dir import claim_out
from xner_ray.text.decontamination import EvaluationSentences


class NotAvailableOffline(Exception):  # noqa: N818 - a state that `xner plan` reports, not a failure
    """A part of a fingerprint is not on this machine, and the context may not ask the network."""


@dataclass
class Context:
    """One run over one config. `Context.open` makes it.

    Attributes:
        config: the checked config; corpora have paths.
        config_file: for messages.
        out: absolute path of the output directory.
        executor: where work runs.
        log: called with each progress line.
        metrics: counters for Prometheus.
        offline: fingerprints only; nothing is written and no network is asked (`xner plan`).
        show_bar: progress as a bar; None: only on a terminal.
    """

    config: Config
    config_file: str
    out: Path
    executor: Executor
    log: Log
    metrics: Recorder
    offline: bool = False
    show_bar: bool | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        config: Config,
        config_file: str | Path = "",
        log: Log | None = None,
        executor: Executor | None = None,
        offline: bool = False,
    ) -> Context:
        """Resolve the corpora and reserve the output directory.

        Args:
            log: default: standard output, in the format that XNER_LOG selects.
            executor: default: Ray, with the settings of `config.ray`.

        Raises:
            UserError: the output directory belongs to another run, or a corpus cannot be resolved.
        """
        refuse_url(config.out)
        out, lines = Path(config.out).absolute(), log or run_logger(config.name)
        if offline and any(x.opus for x in config.corpora):
            config = config.model_copy(update={"opus": config.opus.model_copy(update={"catalog": "package"})})
        resolved = resolve_corpora(config, lines)
        if not offline:
            claim_out(out, config.name, config_file)
        bar = None if log is None else False
        runs_on = executor or RayExecutor(config.ray, out, lines)
        return cls(resolved, str(config_file), out, runs_on, lines, Recorder(config.name), offline, bar)

    def with_config(self, config: Config) -> Context:
        """The same run with another config; seconds are counted apart."""
        return replace(self, config=config, seconds={})

    def progress(self, stage: str, shards: int, pairs: int) -> Progress:
        """A context manager that reports how far a stage is: a bar on a terminal, else lines."""
        return Progress(self.log, stage, shards, pairs, self.show_bar)

    def record_work(self, stage: str, folder: str, **amounts: int) -> AbstractContextManager[dict[str, int]]:
        """Append the work that is done inside to `work.jsonl`; see `observability.work_log`."""
        return log_work(self.out, stage, folder, **amounts)

    # What results depend on

    def gold_parts(self, gold: list[GoldConfig]) -> list[dict[str, Any]]:
        """What identifies gold files: their content and how they are read.

        Raises:
            UserError: a file is missing.
        """
        parts = []
        for item in gold:
            path = self.config.fill(item.path)
            if not Path(path).is_file():
                remedy = "check the path and the key `data`"
                raise UserError("no such gold file", file=path, key="gold.path", remedy=remedy)
            parts.append({"sha256": hash_file(path), **item.fingerprint()})
        return parts

    def corpus_parts(self, language: str) -> list[dict[str, Any]]:
        """What identifies the corpora of a language; a changed file is another corpus."""
        parts = []
        for corpus in self.config.corpora_of(language):
            files = [self.config.fill(p, language) for p in (corpus.path, corpus.target_path) if p]
            settings = corpus.model_dump(exclude={"path", "target_path", "languages"})
            parts.append({"corpus": settings, "files": [file_identity(f) for f in files]})
        return parts

    def encoder_parts(self, encoder: str) -> dict[str, str]:
        """What identifies an encoder with the vocabulary of the run's languages.

        Raises:
            NotAvailableOffline: the context is offline and the encoder is a hub model that is not cached.
        """
        folder = local_encoder(encoder) if self.offline else encoder_folder(encoder)
        if folder is None:
            raise NotAvailableOffline(f"the hub model `{encoder}` is not in the local cache")
        return {"encoder": model_identity(folder), "vocabulary": vocabulary_identity(self.all_languages)}

    def start_folder(self, encoder: str) -> Path:
        """The encoder with the vocabulary of the run's languages; made once below `out/encoders`."""
        return trimmed_folder(encoder_folder(encoder), self.all_languages, self.out / "encoders")

    @property
    def all_languages(self) -> list[str]:
        """Source and target languages."""
        return [self.config.source_language, *self.config.languages]

    @property
    def evaluated_gold(self) -> list[GoldConfig]:
        """Dev and evaluation files in a language of the run or of its gold; files of other languages are never opened."""
        read = {*self.config.languages, *(gold.language for gold in self.config.gold)}
        return [gold for gold in (*self.config.dev, *self.config.evaluation) if gold.language in read]

    @cached_property
    def excluded_gold(self) -> list[int]:
        """Which sentences of the gold files are in an evaluated file, too. Nothing trains on them."""
        if not {item.language for item in self.config.gold} & {item.language for item in self.evaluated_gold}:
            return []
        gold = read_gold(self.config.gold, self.config.fill)
        excluded = self.held_out.indices_in(gold)
        if excluded:
            line = (
                f"{len(excluded):,} of {len(gold):,} gold sentences are left out, because evaluation files have them"
            )
            self.log(f"[teacher] {line}")
        return excluded

    @cached_property
    def held_out(self) -> EvaluationSentences:
        """The sentences of all evaluated files. Nothing trains on them."""
        self.gold_parts(self.evaluated_gold)
        return EvaluationSentences.from_gold((gold, self.config.fill(gold.path)) for gold in self.evaluated_gold)


def model_identity(folder: str | Path) -> str:
    """Hash of weights, config and tokenizer of a model folder."""
    return hash_folder(folder)
