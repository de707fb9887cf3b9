"""The parts `labeling` and `pipeline`."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pyarrow as pa

from bench.gpu_session.engine import BUDGET
from bench.gpu_session.models import (
    TYPES,
    BusyTimer,
    Rows,
    embedded_shape,
    fastest,
    large_shape,
    now,
    random_model,
    save_model,
)
from bench.gpu_session.parts import Recorder, Session
from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector import LABELS
from xner_ray.alignment.projector_file import save_projector
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.ner.tagger import Tagger

SHARD_ROWS = 2000  # the default of `ingest.shard_rows`
BATCHES, SMALL_BATCHES = (8, 16, 32, 64, 128, 256), (4, 16)
PIPELINE_SENTENCES = 1000  # for each batch size


class Functions:
    """The labeling functions of an actor, with models of a shape that are loaded from folders as in a run.

    Args:
        session: of the part.
        rows: with the settings.
        name: `large` (random weights) or `embedded`.
    """

    def __init__(self, session: Session, rows: Rows, name: str):
        from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, LabelingModels, TokenizeFunction

        folders = {kind: session.work / "labeling" / name / kind for kind in ("teacher", "aligner")}
        for kind, labels in (("teacher", TYPES), ("aligner", LABELS)):
            save_model(session, name, labels, folders[kind])
        layers = (large_shape(session) if name == "large" else embedded_shape(session)).layers
        layer = min(rows.settings["similarity_layer"], layers)
        save_projector(folders["aligner"], Decoding(similarity_weight=0.5), layer, str(folders["teacher"]))
        models = LabelingModels(
            teachers={rows.language: str(folders["teacher"])},
            aligner=str(folders["aligner"]),
            source_language="en",
            null_model=False,
            max_batch_tokens=rows.settings["max_batch_tokens"],
            precision="bf16",
            num_threads=1,
        )
        self.tokenize, self.label, self.align = TokenizeFunction(models), LabelFunction(models), AlignFunction(models)
        similarity: Any = self.align.projector.similarity
        self.engine: Any = self.align.projector.engine
        engines: list[Any] = [self.label.tagger(rows.language), similarity, self.align.projector]
        self.timer = BusyTimer([one.engine.model for one in engines], session.device)

    def use_similarity(self, use: bool) -> None:
        """Switch the untrained similarity on or off."""
        self.align.projector.decoding = Decoding(similarity_weight=0.5 * use)


def labeling(session: Session, recorder: Recorder) -> None:
    """Pairs per second from text to columns. The CPU actors' part, tokenization, has a rate of its own."""
    rows = Rows(session)
    shards = [rows.table.slice(start, SHARD_ROWS) for start in range(0, rows.table.num_rows, SHARD_ROWS)]
    for name in ("large", "embedded"):
        functions = Functions(session, rows, name)
        for similarity in (False, True):
            functions.use_similarity(similarity)
            recorder.measure(
                name + ", similarity" * similarity,
                lambda functions=functions: labeling_rates(session, rows, shards, functions),
            )
        del functions


def labeling_rates(session: Session, rows: Rows, shards: list[pa.Table], functions: Functions) -> dict[str, Any]:
    """Rates of one pair of models over all shards, and seconds by step."""
    seconds, began = Counter[str](), time.perf_counter()
    columns = [functions.tokenize(shard, rows.language)[0] for shard in shards]
    seconds["tokenize"] = time.perf_counter() - began
    tables = [s.append_column(schema.PRETOKENIZED, c) for s, c in zip(shards, columns, strict=True)]

    def run() -> None:
        for key in ("label", "align"):
            seconds[key] = 0
        for table in tables:
            start = now(session.device)
            functions.label(table.drop_columns("entities"), rows.language)
            middle = now(session.device)
            # The entities of the pack: random weights would give an unrealistic number.
            functions.align(table, rows.language)
            seconds["label"] += middle - start
            seconds["align"] += now(session.device) - middle

    total = fastest(session.device, run, session.rounds)
    return {
        "pairs_per_second": round(rows.table.num_rows / total, 1),
        "tokenized_pairs_per_second": round(rows.table.num_rows / seconds["tokenize"], 1),
        "busy": functions.timer.share(run),
        "seconds": {step: round(value, 4) for step, value in seconds.items()},
        "budget": functions.engine.max_batch_tokens,
    }


def pipeline(session: Session, recorder: Recorder) -> None:
    """Sentences per second of `transformers.pipeline` by batch size, and of the tagger with the same model."""
    from transformers import pipeline as transformers_pipeline

    from xner_ray.encoders.load import load_pretrained

    rows, shape = Rows(session), large_shape(session)
    sentences = rows.table["source"].to_pylist()[:PIPELINE_SENTENCES]
    one = TorchEngine(random_model(shape, session, len(TYPES)), BUDGET, "bf16", session.device)
    tagger = Tagger(one, rows.tokenizer, TYPES)
    run: Any = transformers_pipeline(
        "token-classification",
        model=one.model,
        tokenizer=load_pretrained("AutoTokenizer", session.encoder),
        aggregation_strategy="simple",
        device=one.device,
    )

    def rate(seconds: float) -> dict[str, Any]:
        return {"sentences_per_second": round(len(sentences) / seconds, 1)}

    recorder.measure(
        "xner tagger", lambda: rate(fastest(session.device, lambda: tagger.tag(sentences, "en"), session.rounds))
    )
    for batch in SMALL_BATCHES if session.small else BATCHES:
        recorder.measure(
            f"pipeline, batch {batch}",
            lambda batch=batch: rate(fastest(session.device, lambda: list(run(sentences, batch_size=batch)), 1)),
        )
