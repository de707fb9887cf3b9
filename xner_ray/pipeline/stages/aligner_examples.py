"""The examples of the aligner, made in a worker: pairs are tagged and aligned, and examples are drawn and encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.pipeline.stages.aligner_checks import split_examples
from xner_ray.pipeline.stages.aligner_scores import PAIRS_FILE, choose_pairs, write_pairs
from xner_ray.storage.verify import read_table

if TYPE_CHECKING:
    from xner_ray.alignment.examples.example import Example
    from xner_ray.ner.base_tagger import BaseTagger

HELD_OUT_FILE = "held_out.jsonl"  # beside the training data


def make_examples(
    config: Config,
    teachers: Mapping[str, Path],
    shards: Sequence[ShardDescriptor],
    start: Path,
    out: Path,
    threads: int,
) -> dict[str, Any]:
    """Tag and align pairs, draw examples for all languages, and encode them, in a worker.

    Args:
        config: the checked config.
        teachers: the teacher's folder of each language.
        shards: parallel text that contains the examples.
        start: folder of the encoder.
        out: file of the `TrainSet`. `examples.jsonl`, the examples that are held out, and the pairs of `aligner_scores` are
            written beside it.
        threads: number of CPU threads.

    Returns:
        `languages`: by language the `counts` of examples, the `missing` ones, and `skipped`: rows on which a model raised an
        error, by reason. `too_long`: examples left out.
    """
    import torch

    from xner_ray.alignment.examples.builder import build_examples
    from xner_ray.alignment.examples.encode_examples import encode_examples
    from xner_ray.alignment.examples.example import write_examples
    from xner_ray.alignment.examples.translator import Translator
    from xner_ray.alignment.similarity import Similarity
    from xner_ray.encoders.load import model_max_length
    from xner_ray.encoders.row_guard import without_failing_rows
    from xner_ray.encoders.tokenizer import Tokenizer
    from xner_ray.ner.tagger import open_tagger

    torch.set_num_threads(threads)
    settings = config.aligner
    bootstraps = settings.example_sources.get("bootstrap", 0) > 0
    similarity = Similarity.load(str(start), settings.similarity_layer) if bootstraps else None
    taggers = {folder: open_tagger(str(folder)) for folder in set(teachers.values())}
    load_translator = cache(Translator)  # one model may translate from several languages
    all_examples: list[Example] = []
    held_out: list[Example] = []
    score_pairs: list[pa.Table] = []
    reports = {}
    for language in dict.fromkeys(s.language for s in shards):
        table = pa.concat_tables([read_table(s.path, s.input_hash, s.shard) for s in shards if s.language == language])
        tagger = taggers[teachers[language]]
        table = table.combine_chunks()
        labeled = without_failing_rows(partial(_label_rows, tagger, table, config.source_language), table.num_rows)
        examples, report = build_examples(
            settings,
            language,
            labeled.result,
            similarity,
            config.seed,
            tag=partial(tagger.tag, language=language),
            load_translator=load_translator,
            fill=config.fill,
            source_language=config.source_language,
        )
        score_pairs.append(choose_pairs(labeled.result, language))
        training, scored = split_examples(examples)
        all_examples, held_out = all_examples + training, held_out + scored
        report.skipped.update(labeled.faults.values())
        skipped = dict(report.skipped.most_common())
        reports[language] = {
            "counts": dict(sorted(report.counts.items())),
            "missing": report.missing,
            "skipped": skipped,
        }
    if not any(example.spans for example in all_examples):
        pairs = sum(shard.rows for shard in shards)
        problem = f"no example to train on was found in {pairs:,} pairs"
        remedy = "read more pairs (`ingest.max_pairs_per_language`), or add `bootstrap` or another source"
        raise UserError(problem, key="aligner.example_sources", remedy=remedy)
    data, too_long = encode_examples(Tokenizer(str(start)), all_examples, model_max_length(start))
    write_examples(out.with_name("examples.jsonl"), all_examples)
    write_examples(out.with_name(HELD_OUT_FILE), held_out)
    write_pairs(score_pairs, out.with_name(PAIRS_FILE))
    data.save(out)  # the last file, because `run` does not make existing data again
    return {"languages": reports, "too_long": too_long}


def _label_rows(tagger: BaseTagger, table: pa.Table, language: str, rows: np.ndarray) -> pa.Table:
    from xner_ray.ner.label_table import label_table

    return label_table(tagger, table if len(rows) == len(table) else table.take(pa.array(rows)), language)
