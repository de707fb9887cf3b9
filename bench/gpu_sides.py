"""The sides that `gpu.py` times.

`busy` is the time inside forward passes, by events on the device's clock, over the wall time. Gaps inside a forward pass count
as busy; waiting for the host between passes does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bench.gpu_shape import SHAPES, Classifier
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector import LABELS, Projector
from xner_ray.alignment.queries import Queries, encode_queries, query_texts
from xner_ray.encoders.batching import min_cost_batches, pad_batch, padding_ratio
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.ner.label_table import label_table
from xner_ray.ner.tagger import Tagger
from xner_ray.text.tags import label_list

TYPES = label_list(["LOC", "MISC", "ORG", "PER"])


@dataclass
class Text:
    """The files of `gpu_pack.py`. Columns of `table`: source, target, entities."""

    table: pa.Table
    tokenizer: Tokenizer
    vocabulary: int
    language: str

    @classmethod
    def read(cls, folder: Path, pairs: int) -> Text:
        metadata = json.loads((folder / "pack.json").read_text())
        table = pq.read_table(folder / "pairs.parquet").slice(0, pairs).combine_chunks()
        return cls(
            table, Tokenizer(str(folder), without_transformers=True), metadata["vocabulary"], metadata["language"]
        )


def matmul_tflops(device: str, precision: str, size: int) -> float:
    """TFLOP/s of the fastest of several products of two square matrices."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        began = _now(device)
        for _ in range(8):
            a @ b
        best = min(best, (_now(device) - began) / 8)
    return 2 * size**3 / best / 1e12


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class BusyTimer:
    """Sums the time inside forward passes, on a GPU by CUDA events."""

    def __init__(self, models: Sequence[torch.nn.Module], device: str):
        self.device, self.timestamps = device, []  # type: tuple[str, list[Any]]
        for model in models:
            model.register_forward_pre_hook(lambda *_: self.timestamps.append(self._timestamp()))
            model.register_forward_hook(lambda *_: self.timestamps.append(self._timestamp()))

    def _timestamp(self) -> Any:
        if self.device != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """Seconds inside forward passes since the last call."""
        pairs, self.timestamps = list(zip(self.timestamps[::2], self.timestamps[1::2], strict=True)), []
        if self.device != "cuda":
            return sum(b - a for a, b in pairs)
        torch.cuda.synchronize()
        return sum(a.elapsed_time(b) for a, b in pairs) / 1000


class Sides:
    """Teacher and aligner of one shape and precision, over one text.

    Attributes:
        tokens, flops, padding: of all rows of teacher and aligner.
        queries: number of queries per pair.
        busy: busy share by side and round.
        stages: seconds of `whole` by part and round.
    """

    def __init__(self, text: Text, shape: str, precision: str, device: str):
        self.text, self.device = text, device
        torch.manual_seed(1)
        models = [Classifier(SHAPES[shape], text.vocabulary, n) for n in (len(TYPES), len(LABELS))]
        teacher, aligner = (TorchEngine(m, precision=precision, device=device) for m in models)
        self.tagger = Tagger(teacher, text.tokenizer, TYPES)
        self.projector = Projector(aligner, text.tokenizer, Decoding())
        self.engines = (teacher, aligner)
        queries = Queries.from_table(text.table)
        texts = query_texts(text.table, queries, text.language)
        encoded = encode_queries(text.tokenizer, queries, texts, aligner.max_length)
        self.names = [queries.names[i] for i in queries.name_ids]
        self.query_targets = [texts.targets[i] for i in texts.pair_ids]
        self.sentences = text.table["source"].to_pylist()
        self.rows: tuple[Ragged, Ragged] = (
            text.tokenizer.with_special_tokens(text.tokenizer(self.sentences).ids),
            encoded.ids,
        )
        self.tokens = sum(len(r.values) for r in self.rows)
        self.flops = sum(SHAPES[shape].flops(r.lengths) for r in self.rows)
        self.queries = len(queries) / text.table.num_rows
        self.busy_timer = BusyTimer(models, device)
        self.busy: dict[str, list[float]] = {}
        self.stages: dict[str, list[float]] = {}
        self.prepared: list[tuple[TorchEngine, dict]] = []
        self.batch, self.padding = 1, 0.0

    def choose(self, budgets: Sequence[int], batches: Sequence[int]) -> dict[str, int]:
        """Set the best token budget of limit, engine and whole, and the best batch size of the pipeline."""
        seconds_by_budget = {}
        for budget in budgets:
            self._prepare(budget)
            seconds_by_budget[budget] = min(self.limit() for _ in range(2))
        best = min(seconds_by_budget, key=seconds_by_budget.__getitem__)
        self._prepare(best)
        for engine in self.engines:
            engine.max_batch_tokens = best
        sample_size = max(1, len(self.sentences) // 8)
        seconds_by_batch = {b: min(self._pipeline(b, sample_size) for _ in range(2)) for b in batches}
        self.batch = min(seconds_by_batch, key=seconds_by_batch.__getitem__)
        self.busy_timer.seconds()
        self.busy.clear()
        return {"budget": best, "pipeline_batch": self.batch}

    def _prepare(self, budget: int) -> None:
        self.prepared, padded = [], 0.0
        for engine, rows in zip(self.engines, self.rows, strict=True):
            batches = min_cost_batches(rows.lengths, budget)
            padded += len(rows.values) / (1 - padding_ratio(rows.lengths, batches))
            engine.max_batch_tokens = budget
            self.prepared += [(engine, engine._device_inputs(batch)) for batch in engine.batches(rows, None)]
        self.padding = 1 - self.tokens / padded

    def limit(self) -> float:
        def run() -> None:
            with torch.inference_mode():
                for engine, inputs in self.prepared:
                    engine.model(**inputs)

        return self._timed("limit", run)

    def engine(self) -> float:
        def run() -> None:
            for engine, rows in zip(self.engines, self.rows, strict=True):
                engine.probabilities(rows)

        return self._timed("engine", run)

    def whole(self) -> float:
        """Text to columns. The engines count the seconds of each part."""
        for engine in self.engines:
            engine.stats.seconds.clear()
        seconds = self._timed("whole", self._whole)
        parts = {p: sum(e.stats.seconds.get(p, 0.0) for e in self.engines) for p in ("tokenize", "forward")}
        parts["decode"] = seconds - sum(parts.values())
        for part, value in parts.items():
            self.stages.setdefault(part, []).append(value)
        return seconds

    def _whole(self) -> None:
        label_table(self.tagger, self.text.table.select(["source"]), "en")
        # The entities of the pack, 1.7 per pair: random weights would give an unrealistic number.
        self.projector.project(self.text.table, self.text.language)

    def pipeline(self) -> float:
        return self._timed("pipeline", lambda: self._loop(self.batch, len(self.sentences)))

    def _pipeline(self, batch: int, sentences: int) -> float:
        return self._timed("pipeline", lambda: self._loop(batch, sentences))

    def _loop(self, batch: int, sentences: int) -> None:
        queries = len(self.names) * sentences // len(self.sentences)
        backend, (teacher, aligner) = self.text.tokenizer.backend, self.engines
        for start in range(0, sentences, batch):
            self._one_batch(teacher, backend.encode_batch(self.sentences[start : min(start + batch, sentences)]))
        for start in range(0, queries, batch):
            end = min(start + batch, queries)
            texts = list(zip(self.names[start:end], self.query_targets[start:end], strict=True))
            self._one_batch(aligner, backend.encode_batch(texts))

    def _one_batch(self, engine: TorchEngine, encoded: list[Any]) -> None:
        rows = Ragged.from_rows([e.ids[: engine.max_length] for e in encoded])
        padded, mask = pad_batch(rows, np.arange(len(rows)), engine.pad_id)
        inputs = {"input_ids": padded, "attention_mask": mask.astype(np.int64)}
        with torch.inference_mode():
            inputs = {k: torch.from_numpy(v).to(engine.device) for k, v in inputs.items()}
            torch.softmax(engine.model(**inputs).logits.float(), dim=-1).argmax(-1).cpu()

    def _timed(self, name: str, run: Callable[[], None]) -> float:
        began = _now(self.device)
        run()
        seconds = _now(self.device) - began
        self.busy.setdefault(name, []).append(self.busy_timer.seconds() / seconds)
        return seconds
