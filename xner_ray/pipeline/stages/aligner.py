"""The aligner: examples from the run's own parallel text, then one model for all target languages.

Examples need the teacher's entities in a few thousand pairs; those pairs are tagged here and tagged again by the labeling
stage, which costs a few per cent and keeps the stages apart.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.config import AlignerConfig, Config
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.pipeline.context import Run, model_identity, once
from xner_ray.pipeline.stages.ingest import founding_shards
from xner_ray.pipeline.stages.source_models import english_models, start_folder, teachers
from xner_ray.training.checkpoint import is_trained
from xner_ray.training.job import TrainJob


@once
def aligner_folder(run: Run) -> Path:
    """The folder of the trained aligner with its projector.json; trained if it is missing."""
    from xner_ray.alignment.decoding import DECODING_KEYS, Decoding
    from xner_ray.alignment.ensemble import FOLDER
    from xner_ray.alignment.projector import LABELS
    from xner_ray.alignment.projector_file import save_projector

    config = run.config
    start = start_folder(run, config.aligner.encoder)
    models = english_models(run, list(teachers(run).values()))
    tagging = {language: models[wanted] for language, wanted in teachers(run).items()}
    descriptors = founding_shards(run)
    parts = {
        "encoder": model_identity(start),
        "aligner": config.aligner.model_dump(exclude=set(DECODING_KEYS)),
        "teachers": {language: model_identity(folder) for language, folder in tagging.items()},
        "shards": {d.shard: d.input_hash for d in _some(descriptors, config)},
        "seed": config.seed,
    }
    folder = run.folder("aligner", parts)
    job = TrainJob(
        "aligner",
        str(start),
        LABELS,
        config.aligner.training,
        config.seed,
        str(folder.path / "data.npz"),
        str(folder.path / "model"),
    )
    if not is_trained(job):
        if not Path(job.data).exists():
            _prepare(run, job, tagging, _some(descriptors, config))
        run.train([job])
    # Written each time: a threshold moves without training. Labels know the file by its hash.
    asked = config.aligner
    decoding = Decoding.from_config(asked)
    if asked.similarity_fallback_score and not (Path(job.out) / FOLDER).exists():
        run.compute(_keep_similarity, str(start), asked.similarity_layer, job.out)
    save_projector(job.out, decoding, asked.similarity_layer, str(start), languages=config.languages, run=config.name)
    return Path(job.out)


def _keep_similarity(encoder: str, layer: int, folder: str, threads: int) -> None:
    """In a task: the driver needs no torch for anything else."""
    from xner_ray.alignment.ensemble import save_similarity

    save_similarity(encoder, layer, folder)


def _some(descriptors: list[ShardDescriptor], config: Config) -> list[ShardDescriptor]:
    """The first shards of each language that hold enough pairs: about as many as examples are wanted."""
    chosen, pairs = [], dict.fromkeys(config.languages, 0)
    for d in descriptors:
        if pairs[d.language] < config.aligner.num_examples:
            chosen.append(d)
            pairs[d.language] += d.rows
    return chosen


def _prepare(run: Run, job: TrainJob, tagging: dict[str, Path], shards: list[ShardDescriptor]) -> None:
    """Build the examples in one Ray task, which gets the GPU where there is one."""
    run.log(f"[aligner] looking for examples in {sum(d.rows for d in shards):,} pairs")
    told = run.compute(
        make_examples,
        run.config.aligner.model_dump(),
        run.config,
        {language: str(folder) for language, folder in tagging.items()},
        [d.__dict__ for d in shards],
        job.start,
        job.data,
    )
    for language, report in told["languages"].items():
        run.log(f"[aligner] {language}: {', '.join(f'{n:,} {what}' for what, n in report['counts'].items())}")
        for what, n in report["missing"].items():
            run.log(f"[aligner] {language}: {n:,} {what} examples could not be had from the pairs looked at")
    if told["too_long"]:
        run.log(f"[aligner] {told['too_long']} examples are longer than the model and were left out")


def make_examples(
    aligner: dict[str, Any],
    config: Config,
    tagging: dict[str, str],
    shards: list[dict[str, Any]],
    start: str,
    out: str,
    threads: int,
) -> dict[str, Any]:
    """Tag, align, draw and encode the examples of all languages; writes the TrainSet to `out` and the examples beside it."""
    import torch

    from xner_ray.alignment.examples.builder import build_examples
    from xner_ray.alignment.examples.encode_examples import encode_examples
    from xner_ray.alignment.examples.example import write_examples
    from xner_ray.alignment.similarity import Similarity
    from xner_ray.encoders.load import model_max_length
    from xner_ray.encoders.tokenizer import Tokenizer
    from xner_ray.ner.label_table import label_table
    from xner_ray.ner.tagger import open_tagger

    torch.set_num_threads(threads)
    settings = AlignerConfig(**aligner)
    similarity = (
        Similarity.load(start, settings.similarity_layer) if settings.example_sources.get("bootstrap", 0) > 0 else None
    )
    taggers = {folder: open_tagger(folder) for folder in set(tagging.values())}
    all_examples, reports = [], {}
    for language in dict.fromkeys(s["language"] for s in shards):
        table = pa.concat_tables([pq.read_table(s["path"]) for s in shards if s["language"] == language])
        tagger = taggers[tagging[language]]
        table = label_table(tagger, table.combine_chunks(), config.source_language)
        examples, report = build_examples(
            settings,
            language,
            table,
            similarity,
            config.seed,
            tag=partial(tagger.tag, language=language),
            fill=config.fill,
            source_language=config.source_language,
        )
        all_examples += examples
        reports[language] = {"counts": dict(sorted(report.counts.items())), "missing": report.missing}
    data, too_long = encode_examples(Tokenizer(start), all_examples, model_max_length(start))
    write_examples(Path(out).with_name("examples.jsonl"), all_examples)
    data.save(Path(out))
    return {"languages": reports, "too_long": too_long}
