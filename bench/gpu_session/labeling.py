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
    embedded_model,
    embedded_shape,
    fastest,
    large_shape,
    lower_layers,
    now,
    random_model,
)
from bench.gpu_session.parts import Recorder, Session
from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector import LABELS, Projector
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.ner.label_table import label_table
from xner_ray.ner.pretokenize import pretokenize_table
from xner_ray.ner.tagger import Tagger

SHARD_ROWS = 2000  # the default of `ingest.shard_rows`
BATCHES, SMALL_BATCHES = (8, 16, 32, 64, 128, 256), (4, 16)
PIPELINE_SENTENCES = 1000  # for each batch size


class Models:
    """Tagger and projector of a shape, as the labeling functions make them.

    Args:
        session: of the part.
        rows: with the tokenizer.
        name: `large` (random weights) or `embedded`.
        similarity: use the untrained similarity.
    """

    def __init__(self, session: Session, rows: Rows, name: str, similarity: bool):
        self.shape = large_shape(session) if name == "large" else embedded_shape(session)
        teacher, aligner = (self._engine(session, name, labels) for labels in (TYPES, LABELS))
        self.engines = [teacher, aligner]
        matcher, decoding = None, Decoding()
        if similarity:
            from xner_ray.alignment.similarity import Similarity

            layer = lower_layers(self.shape, rows.settings["similarity_layer"]).layers
            encoder = random_model(lower_layers(self.shape, layer), session, None)
            self.engines.append(TorchEngine(encoder, precision="bf16", device=session.device))
            matcher = Similarity(self.engines[-1], rows.tokenizer, layer)
            decoding = Decoding(similarity_fallback_score=0.5)
        self.tagger = Tagger(teacher, rows.tokenizer, TYPES)
        self.projector = Projector(aligner, rows.tokenizer, decoding, matcher)
        self.timer = BusyTimer([e.model for e in self.engines], session.device)

    def _engine(self, session: Session, name: str, labels: list[str]) -> TorchEngine:
        model = random_model(self.shape, session, len(labels)) if name == "large" else embedded_model(session, labels)
        return TorchEngine(model, precision="bf16", device=session.device)


def labeling(session: Session, recorder: Recorder) -> None:
    """Pairs per second from text to columns. The CPU actors' part, tokenization, has a rate of its own."""
    rows = Rows(session)
    shards = [rows.table.slice(start, SHARD_ROWS) for start in range(0, rows.table.num_rows, SHARD_ROWS)]
    for name in ("large", "embedded"):
        for similarity in (False, True):
            recorder.measure(
                name + ", similarity" * similarity,
                lambda name=name, similarity=similarity: labeling_rates(session, rows, shards, name, similarity),
            )


def labeling_rates(
    session: Session, rows: Rows, shards: list[pa.Table], name: str, similarity: bool
) -> dict[str, Any]:
    """Rates of one pair of models over all shards, and seconds by step."""
    models, seconds = Models(session, rows, name, similarity), Counter[str]()
    tokenizer, began = rows.tokenizer, time.perf_counter()
    columns = [pretokenize_table(s, (tokenizer, "en"), (tokenizer, rows.language)) for s in shards]
    seconds["tokenize"] = time.perf_counter() - began
    tables = [s.append_column(schema.PRETOKENIZED, c) for s, c in zip(shards, columns, strict=True)]

    def run() -> None:
        for key in ("label", "align"):
            seconds[key] = 0
        for table in tables:
            start = now(session.device)
            label_table(models.tagger, table.drop_columns("entities"), "en")
            middle = now(session.device)
            # The entities of the pack: random weights would give an unrealistic number.
            models.projector.project(table, rows.language)
            seconds["label"] += middle - start
            seconds["align"] += now(session.device) - middle

    total = fastest(session.device, run, session.rounds)
    return {
        "pairs_per_second": round(rows.table.num_rows / total, 1),
        "tokenized_pairs_per_second": round(rows.table.num_rows / seconds["tokenize"], 1),
        "busy": models.timer.share(run),
        "seconds": {step: round(value, 4) for step, value in seconds.items()},
        "budget": models.engines[0].max_batch_tokens,
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
