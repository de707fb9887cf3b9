"""Labeling and aligning: shards stream as envelopes through two actor pools, and each is committed once.

    shard descriptors -> read -> tokenize -> label pool (teacher) -> align pool (aligner) -> commit     on GPUs
    shard descriptors -> one pool that reads, labels, aligns and commits                                on CPUs

Where the pools hold GPUs, texts are cut into pieces and words before; on CPUs the pool does that itself.

One row of the graph is one shard, so Ray can neither cut nor merge shards, and the file that a shard becomes is known before
work starts. What is committed already is not read again. Nothing but descriptors passes the driver, and they go in waves, so
that its memory does not grow with the corpus. What the actors do with a shard is in `shard_actors.py`.
"""

from __future__ import annotations

import itertools
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from xner_ray.corpora.ingest_report import quarantine_files
from xner_ray.encoders.load import encoder_folder
from xner_ray.errors import UserError
from xner_ray.labeling.actors import (
    AlignShards,
    CommitShards,
    LabelingJob,
    LabelShards,
    ReadLabelAlignCommit,
    ReadShards,
    TokenizeShards,
)
from xner_ray.labeling.plan import LabelingPlan
from xner_ray.labeling.pools import Pool, Pools, plan_pools
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.labeling.shard_functions import LabelingModels, ShardFunctions
from xner_ray.ner.external_teacher import teacher_types
from xner_ray.observability.run_metrics import LabelMetrics
from xner_ray.observability.shard_timer import LogContext
from xner_ray.pipeline.context import Run, model_identity, once
from xner_ray.pipeline.stages.aligner import aligner_folder
from xner_ray.pipeline.stages.ingest import ingest_books, shard_descriptors, shard_folder
from xner_ray.pipeline.stages.source_models import english_models, teachers
from xner_ray.preflight.labeling_checks import check_labeling
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import StageDir
from xner_ray.training.backends.nodes import nodes_up

WAVE = 500  # shards of one graph: starting the pools anew costs seconds, and a wave takes an hour
_NUMBERS: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
FUNCTIONS = ShardFunctions()


@dataclass(frozen=True)
class Labeled:
    """`folder`: of the stage. `root`: where its shards are, the folder itself or a prefix in an object store."""

    folder: StageDir
    root: str


@dataclass(frozen=True)
class Models:
    """Folders of the models, and what identifies them; `null`: only their tokenizers are used."""

    teachers: dict[str, str]
    aligner: str
    null: bool
    parts: dict[str, Any]


@once
def label(run: Run) -> Labeled:
    """Label and align every shard that is not committed."""
    config = run.config.label
    descriptors = shard_descriptors(run)
    models = _null_models(run) if config.null_model else _models(run)
    settings = config.model_dump(
        exclude={"max_actors", "num_gpus_per_actor", "output_uri", "max_quarantined", "null_model"}
    )
    folder = run.folder("label", {**models.parts, "label": settings})
    root = f"{config.output_uri.rstrip('/')}/label/{folder.path.name}" if config.output_uri else str(folder.path)
    store = ShardStore(root)
    _write_plan(run, folder, root, descriptors)
    missing = set(store.missing({d.shard: d.input_hash for d in descriptors}))
    todo = sorted((d for d in descriptors if d.shard in missing), key=lambda d: d.shard)
    pairs = sum(d.rows for d in descriptors)
    run.log(f"[label] {len(descriptors)} shards, {pairs:,} pairs; {len(descriptors) - len(todo)} shards are done")
    if swept := store.sweep():
        run.log(f"[label] {len(swept)} files of killed attempts were deleted")
    if todo:
        with run.work("label", folder.path.name, pairs=sum(d.rows for d in todo)):
            _stream(run, todo, models, root, len(descriptors))
        if left := store.missing({d.shard: d.input_hash for d in descriptors}):
            raise UserError(f"{len(left)} shards were not committed, e.g. {left[0]}", file=root, remedy="run it again")
    return Labeled(folder, root)


def _models(run: Run) -> Models:
    models = english_models(run, list(teachers(run).values()))
    folders = {language: str(models[wanted]) for language, wanted in teachers(run).items()}
    _check_conventions(run, folders)
    aligner = aligner_folder(run)
    parts = {
        "teachers": {language: model_identity(folder) for language, folder in folders.items()},
        "aligner": [model_identity(aligner), hash_file(aligner / "projector.json")],
    }
    return Models(folders, str(aligner), False, parts)


def _check_conventions(run: Run, teachers: dict[str, str]) -> None:
    """Raises: UserError where a convention gives a type that the language's teacher does not know; before labeling begins."""
    rules = run.config.rules
    asked = [
        (f"{key}.{x}", x, kind)
        for key in ("derived_word_type", "lowercase_word_type", "demonym_country_type")
        for x, kind in getattr(rules, key).items()
    ]
    asked += [
        (f"surface_type_overrides.{x}.{text}", x, kind)
        for x, words in rules.surface_type_overrides.items()
        for text, kind in words.items()
    ]
    for key, language, kind in asked:
        if language not in teachers:
            continue  # this run leaves the language out
        types = teacher_types(teachers[language])
        if kind not in ["O", *types]:
            raise UserError(
                f"`{kind}` is no type of the teacher of `{language}`",
                file=run.config_file,
                key=f"rules.{key}",
                remedy=f"write O or one of {', '.join(types)}",
            )


def _null_models(run: Run) -> Models:
    from xner_ray.encoders.testing.null import VERSION

    folder = encoder_folder(run.config.teacher.encoder)
    parts = {"null": VERSION, "tokenizer": hash_file(folder / "tokenizer.json")}
    return Models(dict.fromkeys(run.config.languages, str(folder)), str(folder), True, parts)


def _write_plan(run: Run, folder: StageDir, root: str, descriptors: list[ShardDescriptor]) -> None:
    """What `xner status` compares manifests with, and where `xner quarantine` finds what ingest set aside."""
    files = [f for x in run.config.languages for f in quarantine_files(shard_folder(run, x))]
    LabelingPlan(
        store=root,
        shards={d.shard: d.rows for d in descriptors},
        ledger=ingest_books(run).to_rows(),
        quarantine_files=[str(f.relative_to(run.out)) for f in files],
    ).save(folder.path)


def _stream(run: Run, todo: list[ShardDescriptor], models: Models, root: str, planned: int) -> None:
    """`planned`: shards of the whole labeling, those that were done before included."""
    run.ray()
    pools = plan_pools(run.config.label, nodes_up(), len(todo), run.config.ray.max_gpus)
    config = run.config
    labeling_models = LabelingModels(
        teachers=models.teachers,
        aligner=models.aligner,
        source_language=config.source_language,
        null_model=models.null,
        max_batch_tokens=config.label.batch_tokens,
        precision=config.label.precision,
        num_threads=pools.num_threads,
    )
    job = LabelingJob(
        store=root,
        functions=FUNCTIONS,
        models=labeling_models,
        max_quarantined=config.label.max_quarantined,
        log_context=LogContext.of(config.name),
        pretokenized=pools.tokenize is not None,
    )
    told = check_labeling(run.config, pools, todo, job, run.log)
    if pools.tokenize:
        run.log(f"[label] {pools.tokenize} actors tokenize on CPUs")
    run.log(f"[label] {pools}; {told}")
    pairs = sum(d.rows for d in todo)
    seen = LabelMetrics(run.metrics, planned, len(todo), pairs)
    with run.progress("label", len(todo), pairs) as progress:
        for start in range(0, len(todo), WAVE):
            for row in _graph(todo[start : start + WAVE], pools, job).iter_rows():
                seen.shard_committed(row)
                progress.advance(row["rows"], row["quarantined"])


def _graph(todo: list[ShardDescriptor], pools: Pools, job: LabelingJob) -> Any:
    """The Ray Data graph of one wave.

    Reading and committing are actors too, or part of one. As tasks they are many more processes than the node has CPUs, so
    Ray ends the idle ones after a second and starts others, at four seconds of CPU each: two thirds of the time on two cores.
    """
    import ray

    # Nothing else gives an actor of Ray Data a name; Ray 2.64 is to have another way, and is not allowed in yet.
    warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
    items: list[dict[str, Any]] = [d.__dict__ for d in todo]
    graph: Any = ray.data.from_items(items, override_num_blocks=len(items))
    stages: list[tuple[str, type, Pool]]
    if pools.align:
        stages = [("read:shard", ReadShards, pools.read)]
        if pools.tokenize:
            stages.append(("tokenize:shard", TokenizeShards, pools.tokenize))
        stages.append(("label:teacher", LabelShards, pools.label))
        stages.append(("align:aligner", AlignShards, pools.align))
        stages.append(("commit:shard", CommitShards, pools.commit))
    else:
        stages = [("whole:shard", ReadLabelAlignCommit, pools.label)]
    for name, actor, pool in stages:
        graph = graph.map_batches(
            actor,
            fn_constructor_args=(job,),
            compute=_strategy(pool),
            batch_size=1,
            batch_format="pyarrow",
            ray_remote_args_fn=partial(actor_name, name),
            **pool.resources,
        )
    return graph


def actor_name(name: str) -> dict[str, Any]:
    """What Ray Data asks for before it starts an actor: how Ray's dashboard calls it, such as `label:teacher#3`."""
    # Numbers go on from graph to graph, since the actors of the last one may still hold their names.
    return {"name": f"{name}#{next(_NUMBERS[name])}"}


def _strategy(pool: Pool) -> Any:
    import ray

    if not pool.max_size:
        return ray.data.ActorPoolStrategy(size=pool.size)
    return ray.data.ActorPoolStrategy(min_size=pool.size, max_size=pool.max_size)
