"""The stage `label`: teachers tag the source side of all pairs, and the aligner projects the entities to the target side.

The graph of `labeling/graph.py` processes the shards and commits each one to a shard store. The store is the stage's directory or
a prefix in an object store. A committed shard is not processed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xner_ray.config import Config
from xner_ray.encoders.load import encoder_folder
from xner_ray.encoders.testing import null
from xner_ray.errors import UserError
from xner_ray.labeling.actors import LabelingJob
from xner_ray.labeling.graph import label_shards
from xner_ray.labeling.plan import PLAN, LabelingPlan
from xner_ray.labeling.pools import plan_pools, same_accelerator
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.labeling.shard_functions import LabelingModels, ShardFunctions
from xner_ray.ner.external_teacher import teacher_types
from xner_ray.observability.run_metrics import LabelMetrics
from xner_ray.observability.shard_timer import LogContext
from xner_ray.pipeline.context import Context, NotAvailableOffline, model_identity
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.aligner_checks import check_aligner
from xner_ray.pipeline.stages.ingest import Ingested
from xner_ray.pipeline.stages.model_checks import check_teachers, compare_with_dev
from xner_ray.preflight.checks import committed_precision
from xner_ray.preflight.labeling_checks import check_labeling
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.manifest_table import Manifests
from xner_ray.storage.shard_store import ShardStore, StoreListing
from xner_ray.storage.stage_dir import StageDir

_NOT_IN_FINGERPRINT = {
    "max_batch_tokens", "max_actors", "num_gpus_per_actor", "accelerator_type", "output_uri", "max_quarantined", "null_model",
}  # fmt: skip


@dataclass(frozen=True)
class Labeled:
    """The labeled shards.

    Attributes:
        name: name of the stage's directory.
        root: folder or URL of the shard store.
        manifests: of the shards of this run.
    """

    name: str
    root: str
    manifests: Manifests


@dataclass(frozen=True)
class _Models:
    """The teacher's folder of each target language, and the folder of the aligner."""

    teachers: dict[str, str]
    aligner: str


class Label(Stage):
    """Labels and aligns every shard that is not committed. Result: `Labeled`.

    Args:
        null_model: compute artificial entities from token ids. Then neither teacher nor aligner is needed.
        functions: classes of the functions that the actors run on a shard.
    """

    name, version = "label", 12
    needs: tuple[str, ...] = ("ingest", "teacher", "aligner")

    def __init__(self, null_model: bool = False, functions: ShardFunctions | None = None):
        self.null_model, self.functions = null_model, functions or ShardFunctions()
        if null_model:
            self.needs = ("ingest",)

    def describe(self, config: Config) -> str:
        pairs = f"{config.ingest.max_pairs_per_language:,}" if config.ingest.max_pairs_per_language else "all"
        models = "the null model" if self.null_model else "teacher and aligner"
        return f"{models} over {pairs} pairs a language"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        settings = ctx.config.label.model_dump(exclude=_NOT_IN_FINGERPRINT)
        items = {shard.shard: shard.input_hash for shard in inputs["ingest"].shards()}
        return [Piece("", {**self._model_parts(ctx, inputs), "label": settings}, items=items)]

    def problem(self, ctx: Context, piece: PieceDir) -> str | None:
        problem, root = super().problem(ctx, piece), _root(ctx.config, piece.path)
        ctx.forget_listing(root)
        if problem is not None:
            return problem
        if ctx.offline and "://" in root:
            raise NotAvailableOffline(f"the shards are in {root}, which plan does not open")
        return shards_problem(ctx, root, piece)

    def part_done(self, ctx: Context, piece: PieceDir) -> float | None:
        root, shards = _root(ctx.config, piece.path), piece.piece.items
        if not shards or not piece.path.exists():
            return 0.0
        if ctx.offline and "://" in root:
            return None
        listing = ctx.listed_store(root)
        left = {*ShardStore(root).missing(shards, listing.manifests), *(listing.damaged & shards.keys())}
        return 1 - len(left) / len(shards)

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        (piece,) = todo
        shards, root = inputs["ingest"].shards(), _root(ctx.config, piece.path)
        models = self._models(ctx, inputs)
        if not self.null_model:
            check_conventions(ctx.config, ctx.config_file, models.teachers)
            check_teachers(ctx, inputs["teacher"])
            check_aligner(ctx, Path(models.aligner))
        store, listing = ShardStore(root), discard_damaged_shards(ctx, self.name, root, piece)
        _write_plan(ctx, piece.path, root, inputs["ingest"], shards)
        missing = set(store.missing(piece.piece.items, listing.manifests))
        left = sorted((s for s in shards if s.shard in missing), key=lambda s: s.shard)
        pairs = sum(s.rows for s in shards)
        ctx.log(f"[label] {len(shards)} shards, {pairs:,} pairs; {len(shards) - len(left)} shards are done")
        if swept := store.sweep(listing=listing):
            ctx.log(f"[label] {len(swept)} files of killed attempts were deleted")
        if left:
            with ctx.record_work("label", piece.path.name, pairs=sum(s.rows for s in left)):
                self._label(ctx, models, left, root, len(shards), _committed_notes(listing.manifests, shards, missing))
            listing = ctx.list_new_commits(root)
        if still := store.missing(piece.piece.items, listing.manifests):
            raise UserError(
                f"{len(still)} shards were not committed, e.g. {still[0]}", file=root, remedy="run it again"
            )
        if not self.null_model:
            compare_with_dev(ctx, inputs["teacher"], root, shards)
        piece.commit(files=[piece.path / PLAN])  # shards have manifests of their own

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Labeled:
        folder = done[""].path
        root = _root(ctx.config, folder)
        manifests = ctx.listed_store(root).manifests
        return Labeled(folder.name, root, manifests.select(s.shard for s in inputs["ingest"].shards()))

    def _label(
        self,
        ctx: Context,
        models: _Models,
        shards: Sequence[ShardDescriptor],
        root: str,
        planned: int,
        committed: Mapping[str, Any],
    ) -> None:
        """Check the cluster, and stream the shards through the graph.

        Args:
            ctx: of the run.
            models: teachers and aligner.
            shards: that are not committed.
            root: store of the shards.
            planned: number of shards of the run, committed or not.
            committed: notes of a committed shard, see `_committed_notes`.
        """
        nodes, precision, kind = ctx.executor.nodes(), committed.get("precision"), committed.get("accelerator_type")
        settings = same_accelerator(ctx.config.label, nodes, kind)
        pools = plan_pools(settings, nodes, len(shards), ctx.config.ray.max_gpus)
        job = LabelingJob(
            store=root,
            functions=self.functions,
            models=LabelingModels(
                teachers=models.teachers,
                aligner=models.aligner,
                source_language=ctx.config.source_language,
                null_model=self.null_model,
                max_batch_tokens=settings.max_batch_tokens,
                precision=precision or settings.precision,
                num_threads=pools.num_threads,
                device=pools.torch_device,
            ),
            max_quarantined=settings.max_quarantined,
            log_context=LogContext.of(ctx.config.name),
            pretokenized=pools.prepare is not None,
        )
        with committed_precision(precision, kind):
            device = check_labeling(ctx.config, pools, list(shards), job, ctx.log)
        # One precision and one kind of GPU for all shards of a run, whatever node an actor is on.
        models_of_job = replace(job.models, precision=device.precision)
        job = replace(job, models=models_of_job, accelerator_type=device.accelerator_type)
        pools = replace(pools, accelerator_type=device.accelerator_type)
        if pools.prepare:
            ctx.log(f"[label] {pools.prepare} actors read and tokenize on CPUs")
        kind = f", {pools.accelerator_type}" if pools.accelerator_type else ""
        ctx.log(f"[label] {pools}{kind}; {device.text}")
        pairs = sum(s.rows for s in shards)
        metrics = LabelMetrics(ctx.metrics, planned, len(shards), pairs)
        with ctx.progress("label", len(shards), pairs) as progress:
            for row in label_shards(shards, pools, job):
                metrics.shard_committed(row)
                progress.advance(row["rows"], row["quarantined"])

    def _models(self, ctx: Context, inputs: Inputs) -> _Models:
        if self.null_model:
            folder = str(encoder_folder(ctx.config.teacher.encoder))
            return _Models(dict.fromkeys(ctx.config.languages, folder), folder)
        teachers = {x: str(folder) for x, folder in inputs["teacher"].teachers().items()}
        return _Models(teachers, str(inputs["aligner"]))

    def _model_parts(self, ctx: Context, inputs: Inputs) -> dict[str, Any]:
        if self.null_model:
            folder = encoder_folder(ctx.config.teacher.encoder)
            return {"null": null.VERSION, "tokenizer": hash_file(folder / "tokenizer.json")}
        aligner: Path = inputs["aligner"]
        return {
            "teachers": {x: model_identity(folder) for x, folder in inputs["teacher"].teachers().items()},
            "aligner": [model_identity(aligner), hash_file(aligner / "projector.json")],
        }


def _committed_notes(manifests: Manifests, shards: Sequence[ShardDescriptor], missing: set[str]) -> dict[str, Any]:
    """What the manifest of a committed shard notes, such as `precision`; empty: no shard is committed.

    `auto` can mean another precision on the machine that continues a run.
    """
    done = next((shard.shard for shard in shards if shard.shard not in missing), None)
    return manifests[done].extra if done else {}


def check_conventions(config: Config, config_file: str, teachers: Mapping[str, str]) -> None:
    """Check before labeling that the rules use types that the teachers have.

    Raises:
        UserError: a rule uses a type that the teacher of its language does not have.
    """
    rules = config.rules
    by_language = ("derived_word_type", "lowercase_word_type", "demonym_country_type")
    types = [(f"{key}.{x}", x, kind) for key in by_language for x, kind in getattr(rules, key).items()]
    overrides = rules.surface_type_overrides
    types += [
        (f"surface_type_overrides.{x}.{text}", x, kind) for x, o in overrides.items() for text, kind in o.items()
    ]
    for key, language, kind in types:
        if language not in teachers:
            continue  # not a language of this run
        known = teacher_types(teachers[language])
        if kind not in ["O", *known]:
            raise UserError(
                f"the teacher of `{language}` has no type `{kind}`",
                file=config_file,
                key=f"rules.{key}",
                remedy=f"write O or one of {', '.join(known)}",
            )


def shards_problem(ctx: Context, root: str | Path, piece: PieceDir) -> str | None:
    """Return the reason why the shards of a piece are not complete; None if they are."""
    listing, shards = ctx.listed_store(root), piece.piece.items
    total, missing = len(shards), len(ShardStore(root).missing(shards, listing.manifests))
    if missing:
        return f"{missing} of {total} shards are missing"
    damaged = len(listing.damaged & shards.keys())
    return f"{damaged} of {total} shards are damaged" if damaged else None


def discard_damaged_shards(ctx: Context, stage: str, root: str | Path, piece: PieceDir) -> StoreListing:
    """Delete the manifests of shards whose file is missing, truncated or damaged, so that the shards are made again.

    Returns:
        the listing of the store after that.
    """
    listing = ctx.listed_store(root)
    damaged = [shard for shard in piece.piece.items if shard in listing.damaged]
    for shard in damaged:
        ctx.log(f"[{stage}] damaged: the file of shard {shard} is missing, truncated or damaged; it is made again")
        ShardStore(root).uncommit(shard)
    return ctx.list_new_commits(root) if damaged else listing


def _root(config: Config, folder: Path) -> str:
    uri = config.label.output_uri
    return f"{uri.rstrip('/')}/label/{folder.name}" if uri else str(folder)


def _write_plan(ctx: Context, folder: Path, root: str, ingested: Ingested, shards: Sequence[ShardDescriptor]) -> None:
    """Write the plan of the labeling, for `xner status` and `xner quarantine`."""
    files = [f for language in ctx.config.languages for f in ingested.quarantine_files(language)]
    LabelingPlan(
        store=root,
        shards={s.shard: s.rows for s in shards},
        ledger=ingested.ledger().to_rows(),
        quarantine_files=[str(f.relative_to(ctx.out)) for f in files],
    ).save(folder)
