"""The context of a run, which all its stages share: config, output directory, executor, log and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from xner_ray.config import Config, GoldConfig
from xner_ray.corpora.opus.resolve import resolve_corpora
from xner_ray.corpora.readers.archive import file_identity
from xner_ray.corpora.readers.tsv_layout import side_order
from xner_ray.encoders.load import encoder_folder, local_encoder
from xner_ray.encoders.vocab_trimming import trimmed_folder, vocabulary_identity
from xner_ray.errors import UserError
from xner_ray.ner.source_gold import read_gold
from xner_ray.observability.logs import Log, run_logger
from xner_ray.observability.metrics import Recorder
from xner_ray.observability.progress import Progress
from xner_ray.observability.work_log import SharedTime, log_work
from xner_ray.pipeline.executors import Executor, RayExecutor
from xner_ray.preflight.checks import refuse_url
from xner_ray.preflight.input_checks import missing_file
from xner_ray.storage.fingerprint import hash_file, hash_folder
from xner_ray.storage.output_dir import check_format, claim_out
from xner_ray.storage.shard_store import ShardStore, StoreListing
from xner_ray.text.decontamination import EvaluationSentences


class NotAvailableOffline(Exception):  # noqa: N818 - a state that `xner plan` reports, not a failure
    """A part of a fingerprint is not on this machine, and an offline context sends no requests."""


@dataclass
class Context:
    """One run over one config. `Context.open` makes it.

    Attributes:
        config: the checked config; corpora have paths.
        config_file: path of the config file, for error messages.
        out: absolute path of the output directory.
        executor: runs the work of stages.
        log: called with each progress line.
        metrics: counters for Prometheus.
        offline: compute fingerprints only. Nothing is written and no request is sent (`xner plan`).
        show_bar: whether to show progress as a bar; None: only on a terminal.
        seconds: duration of each stage by its name.
        listings: the last listing of each shard store, by its root.
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
    listings: dict[str, StoreListing] = field(default_factory=dict)

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
            config: the checked config.
            config_file: path of the config file, for error messages.
            log: called with each progress line. Default: print to standard output, in the format of XNER_LOG.
            executor: runs the work of stages. Default: Ray, with the settings of `config.ray`.
            offline: see the attribute.

        Raises:
            UserError: the output directory belongs to another run or version, or a corpus cannot be resolved.
        """
        refuse_url(config.out)
        out, lines = Path(config.out).absolute(), log or run_logger(config.name)
        if offline and any(x.opus for x in config.corpora):
            config = config.model_copy(update={"opus": config.opus.model_copy(update={"catalog": "package"})})
        resolved = resolve_corpora(config, lines)
        if offline:
            check_format(out, config_file)
        else:
            claim_out(out, config.name, config_file)
        bar = None if log is None else False
        runs_on = executor or RayExecutor(config.ray, out, lines)
        return cls(resolved, str(config_file), out, runs_on, lines, Recorder(config.name), offline, bar)

    def with_config(self, config: Config) -> Context:
        """Return a context of the same run with another config. It counts its own seconds."""
        return replace(self, config=config, seconds={})

    def progress(self, stage: str, shards: int, pairs: int) -> Progress:
        """Return a context manager that reports the progress of a stage: a bar on a terminal, else lines."""
        return Progress(self.log, stage, shards, pairs, self.show_bar)

    def record_work(
        self, stage: str, folder: str, shared: SharedTime | None = None, **amounts: int
    ) -> AbstractContextManager[dict[str, int]]:
        """Time the work inside the block and append it to `work.jsonl`; see `observability.work_log`."""
        return log_work(self.out, stage, folder, shared, **amounts)

    # Shard stores. The stages of a run share one listing of each store, because a large store takes seconds to list.

    def forget_listing(self, root: str | Path) -> None:
        """Forget the listing of a shard store, before a stage looks whether it is complete."""
        self.listings.pop(str(root), None)

    def listed_store(self, root: str | Path) -> StoreListing:
        """Return the listing of a shard store. It is listed now if it is not, and its manifests are packed for the next time."""
        return self.listings.get(str(root)) or self._keep(root, ShardStore(root).listing())

    def list_new_commits(self, root: str | Path) -> StoreListing:
        """Return the last listing of a shard store with the manifests that this run has committed since then."""
        listed = self.listed_store(root)
        manifests = ShardStore(root).committed(listed.manifests)
        return self._keep(root, replace(listed, manifests=manifests, damaged=frozenset()))

    def _keep(self, root: str | Path, listing: StoreListing) -> StoreListing:
        if not self.offline:
            try:
                listing = replace(listing, manifests=ShardStore(root).pack(listing.manifests))
            except UserError as e:  # packs only save time, and a complete store may be read-only
                self.log(f"warning: the manifests are not packed: {e}")
        self.listings[str(root)] = listing
        return listing

    # Parts of fingerprints

    def gold_parts(self, gold: list[GoldConfig]) -> list[dict[str, Any]]:
        """Return the fingerprint parts of gold files: their hashes and reading options.

        Raises:
            UserError: a file is missing.
        """
        parts = []
        for item in gold:
            path = self.config.fill(item.path)
            if not Path(path).is_file():
                raise missing_file(path, f"{item.key}.path", self.config_file)
            parts.append({"sha256": hash_file(path), **item.fingerprint()})
        return parts

    def corpus_parts(self, language: str) -> list[dict[str, Any]]:
        """Return the fingerprint parts of a language's corpora. A changed file counts as another corpus."""
        parts = []
        for corpus in self.config.corpora_of(language):
            files = [self.config.fill(p, language) for p in (corpus.path, corpus.target_path) if p]
            settings = corpus.model_dump(exclude={"path", "target_path", "languages", "columns"})
            sides = side_order(corpus, files[0], (self.config.source_language, language))
            parts.append(
                {"corpus": settings, "files": [file_identity(f) for f in files]} | ({"sides": sides} if sides else {})
            )
        return parts

    def encoder_parts(self, encoder: str) -> dict[str, str]:
        """Return the fingerprint parts of an encoder that is trimmed to the vocabulary of the run's languages.

        Raises:
            NotAvailableOffline: the context is offline and the encoder is a hub model that is not cached.
        """
        folder = local_encoder(encoder) if self.offline else encoder_folder(encoder)
        if folder is None:
            raise NotAvailableOffline(f"the hub model `{encoder}` is not in the local cache")
        return {"encoder": model_identity(folder), "vocabulary": vocabulary_identity(self.all_languages)}

    def start_folder(self, encoder: str) -> Path:
        """Copy an encoder, trimmed to the vocabulary of the run's languages, once, below `out/encoders`. Returns its folder."""
        return trimmed_folder(encoder_folder(encoder), self.all_languages, self.out / "encoders")

    @property
    def all_languages(self) -> list[str]:
        """Source and target languages."""
        return [self.config.source_language, *self.config.languages]

    @property
    def evaluated_gold(self) -> list[GoldConfig]:
        """Dev and evaluation files in a language of the run or of its gold. Other files are not read."""
        read = {*self.config.languages, *(gold.language for gold in self.config.gold)}
        return [gold for gold in (*self.config.dev, *self.config.evaluation) if gold.language in read]

    @cached_property
    def excluded_gold(self) -> list[int]:
        """Indices of gold sentences that also occur in an evaluation file. No model is trained on them."""
        held_out = self.held_out  # read first, so that a wrong evaluation file is an error before any training
        with self._named_gold():
            gold = read_gold(self.config.gold, self.config.fill)
        excluded = held_out.indices_in(gold)
        if excluded:
            line = (
                f"{len(excluded):,} of {len(gold):,} gold sentences are left out, because evaluation files have them"
            )
            self.log(f"[teacher] {line}")
        return excluded

    @cached_property
    def held_out(self) -> EvaluationSentences:
        """The sentences of all evaluation files. No model is trained on them."""
        self.gold_parts(self.evaluated_gold)
        with self._named_gold():
            return EvaluationSentences.from_gold((gold, self.config.fill(gold.path)) for gold in self.evaluated_gold)

    @contextmanager
    def _named_gold(self) -> Iterator[None]:
        """Add the config key to errors about gold files."""
        try:
            yield
        except UserError as e:
            e.key = e.key or self._gold_key(e.file)
            raise

    def _gold_key(self, file: object) -> str | None:
        """The config key of a gold file; None if the config does not name the file."""
        sections = {key: getattr(self.config, key) for key in ("gold", "dev", "evaluation")}
        keys = [f"{key}.{n}.path" for key, gold in sections.items() for n, item in enumerate(gold)
                if self.config.fill(item.path) == str(file)]  # fmt: skip
        return keys[0] if keys else None


def model_identity(folder: str | Path) -> str:
    """Return a hash of the weights, config and tokenizer of a model folder."""
    return hash_folder(folder)
