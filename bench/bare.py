"""The sides of the throughput benchmark that run without Ray. Each core has one process with one thread.

The rows are recorded from the labeling functions: teacher sentences, aligner queries, and the sentences that the untrained
similarity encodes (`aligner.similarity_weight`, on by default). `limit` and `pipeline` run all of these rows.
Labeling runs fewer: it projects a name with an identical spelling in both sentences without a model
(`aligner.exact_match_score`). The side `asked` runs only the rows that labeling runs.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass
class ModelRows:
    """The distinct input rows of the models.

    Attributes:
        ids: token ids by model: `teacher`, `aligner`, `similarity`.
        types: segment ids by model; None for a model without segments.
        sentences: the teacher's rows as text.
        queries: the aligner's rows as text: name and target sentence.
        compared: the similarity's rows as text.
        entities: number of entities in the labeled tables.
    """

    ids: dict[str, Any] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    queries: list[tuple[str, str]] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    entities: int = 0

    @property
    def tokens(self) -> int:
        return sum(len(ids.values) for ids in self.ids.values())

    def share(self, offset: int, n: int) -> ModelRows:
        """Every n-th row and text from `offset` on. Rows are sorted by length first, so that all shares cost the same."""
        part = ModelRows()
        for name, ids in self.ids.items():
            indices = np.argsort(-ids.lengths, kind="stable")[offset::n]
            types = self.types.get(name)
            part.ids[name], part.types[name] = ids.take(indices), types.take(indices) if types is not None else None
        part.sentences, part.queries, part.compared = (
            x[offset::n] for x in (self.sentences, self.queries, self.compared)
        )
        return part


class Models:
    """Teacher and aligner as the labeling functions load them, on one thread.

    Args:
        core: the core that this process is pinned to; None for no pinning.
    """

    def __init__(
        self, core: int | None, language: str, teacher: str, aligner: str, precision: str, budget: int, device: str
    ):
        import os

        import torch

        from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, LabelingModels

        if core is not None:
            os.sched_setaffinity(0, [core])
        torch.set_num_threads(1)
        self.language, self.teacher, self.aligner, self.device = language, teacher, aligner, device
        labeling_models = LabelingModels({language: teacher}, aligner, "en", False, budget, precision, 1)
        self.label, self.align = LabelFunction(labeling_models), AlignFunction(labeling_models)
        similarity = self.align.projector.similarity
        self.engines = {"teacher": self.label.tagger(language).engine, "aligner": self.align.projector.engine}
        self.engines |= {"similarity": similarity.engine} if similarity else {}
        self.inputs: dict[str, list[tuple[str, dict]]] = {}
        self.work: dict[str, ModelRows] = {"limit": ModelRows(), "asked": ModelRows()}
        self.labeled: list[Any] = []

    def record(self, tables: Sequence[Any]) -> dict[str, ModelRows]:
        """Label and align the tables; `labeled` keeps the labeled tables.

        Returns:
            `limit`: the distinct rows without exact matching; `asked`: the distinct rows that labeling runs.
        """
        self.labeled = []
        projector = self.align.projector
        decoding = projector.decoding
        projector.decoding = replace(decoding, exact_match_score=0.0)
        all_rows = self._recorded(tables)
        projector.decoding = decoding
        if not decoding.exact_match_score:
            return {"limit": all_rows, "asked": all_rows}
        queried_rows = self._recorded(self.labeled)
        queried_rows.ids["teacher"], queried_rows.types["teacher"] = all_rows.ids["teacher"], all_rows.types["teacher"]
        return {"limit": all_rows, "asked": queried_rows}

    def _recorded(self, tables: Sequence[Any]) -> ModelRows:
        """The distinct rows of the tables. Tables without entities are labeled first and added to `labeled`."""
        from xner_ray import schema
        from xner_ray.alignment.queries import Queries, query_texts

        recorded_calls: dict[str, list] = {name: [] for name in self.engines}
        rows = ModelRows()
        for name, engine in self.engines.items():
            engine.batches = _recorder(engine.batches, recorded_calls[name])
        similarity = self.align.projector.similarity
        if similarity:
            similarity.align_mentions = _text_recorder(similarity.align_mentions, rows.compared)
        for table in tables:
            if schema.ENTITIES.name not in table.column_names:
                entities, _ = self.label(table, self.language)
                table = table.append_column(schema.ENTITIES, entities)
                self.labeled.append(table)
            self.align(table, self.language)
            queries = Queries.from_table(table)
            texts = query_texts(table, queries, self.language)
            rows.sentences += table["source"].to_pylist()
            pairs = zip(queries.name_ids, texts.pair_ids, strict=True)
            rows.queries += [(queries.names[n], texts.targets[i]) for n, i in pairs]
            rows.entities += len(queries.mentions)
        for engine in self.engines.values():
            del engine.batches  # restores the method of the class
        if similarity:
            del similarity.align_mentions
        rows.queries, rows.compared = list(dict.fromkeys(rows.queries)), list(dict.fromkeys(rows.compared))
        for name, calls in recorded_calls.items():
            rows.ids[name], rows.types[name] = _distinct(calls)
        return rows

    def labeled_tables(self) -> list[Any]:
        return self.labeled

    def set_work(self, work: dict[str, ModelRows]) -> None:
        """Set the rows of this process."""
        self.work = work

    def prepare(self, budget: int) -> float:
        """Put padded tensors of the rows on the device; returns the padded share of the `limit` rows."""
        shares = {kind: self._prepare(kind, budget) for kind in self.work}
        return shares["limit"]

    def _prepare(self, kind: str, budget: int) -> float:
        work, padded = self.work[kind], 0
        self.inputs[kind] = []
        for name, ids in work.ids.items():
            engine = self.engines[name]
            labeling_budget, engine.max_batch_tokens = engine.max_batch_tokens, budget
            for batch in engine.batches(ids, work.types[name]) if len(ids) else []:
                self.inputs[kind].append((name, engine._device_inputs(batch)))
                padded += batch.mask.size
            engine.max_batch_tokens = labeling_budget
        return 1 - work.tokens / max(1, padded)

    def forward(self, kind: str) -> None:
        """Forward passes over the prepared tensors of `kind`: `limit` or `asked`."""
        import torch

        with torch.inference_mode():
            for name, inputs in self.inputs[kind]:
                model = self.engines[name].model
                (model.base_model if name == "similarity" else model)(**inputs)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def pipeline(self, batch: int) -> None:
        """transformers.pipeline over the sentences, then padded batches of queries, then padded batches of compared sentences."""
        import torch
        from transformers import AutoTokenizer, pipeline

        engines = self.engines
        if not hasattr(self, "pipe"):
            tokenizer = AutoTokenizer.from_pretrained(self.teacher)
            self.pipe = pipeline(
                "token-classification", model=engines["teacher"].model, tokenizer=tokenizer,
                aggregation_strategy="simple", device=engines["teacher"].device,
            )  # fmt: skip
            self.tokenizer = AutoTokenizer.from_pretrained(self.aligner)
        rows = self.work["limit"]
        for _ in self.pipe(rows.sentences, batch_size=batch):
            pass
        settings = {
            "padding": True,
            "return_tensors": "pt",
            "truncation": True,
            "max_length": engines["aligner"].max_length,
        }
        with torch.inference_mode():
            for start in range(0, len(rows.queries), batch):
                names, targets = zip(*rows.queries[start : start + batch], strict=True)
                inputs = self.tokenizer(list(names), list(targets), **settings).to(self.pipe.device)
                torch.softmax(engines["aligner"].model(**inputs).logits.float(), dim=-1).cpu()
            for start in range(0, len(rows.compared), batch):
                inputs = self.tokenizer(rows.compared[start : start + batch], **settings).to(self.pipe.device)
                engines["similarity"].model.base_model(**inputs).last_hidden_state.float().cpu()

    def projection(self) -> None:
        """The align function alone, on the tables that `record` labeled."""
        for table in self.labeled:
            self.align(table, self.language)


def _recorder(batches, calls):
    def recorded(ids, types):
        calls.append((ids, types))
        return batches(ids, types)

    return recorded


def _text_recorder(match, texts):
    def recorded(sources, targets, *tokens):
        texts.extend([*sources, *targets])
        return match(sources, targets, *tokens)

    return recorded


def _distinct(calls: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The distinct rows of all calls, and their segment ids."""
    from xner_ray.encoders.engine_base import deduplicate_rows
    from xner_ray.encoders.ragged import Ragged, offsets_of

    if not calls:
        return Ragged.from_rows([]), None
    offsets = offsets_of(np.concatenate([ids.lengths for ids, _ in calls]))
    ids = Ragged(np.concatenate([ids.values for ids, _ in calls]), offsets)
    first, _ = deduplicate_rows(ids)
    if calls[0][1] is None:
        return ids.take(first), None
    return ids.take(first), Ragged(np.concatenate([types.values for _, types in calls]), offsets).take(first)


class Process:
    """A `Models` in its own process. Its methods are called by name."""

    def __init__(self, *settings: Any):
        context = multiprocessing.get_context("spawn")
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(worker_end, settings), daemon=True)
        self.process.start()
        self.result()

    def send(self, method: str, *arguments: Any) -> None:
        self.pipe.send((method, arguments))

    def result(self) -> Any:
        reply = self.pipe.recv()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def call(self, method: str, *arguments: Any) -> Any:
        self.send(method, *arguments)
        return self.result()


def _serve(pipe: Any, settings: tuple) -> None:
    models = Models(*settings)
    pipe.send("ready")
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:  # the parent process has ended
            return
        try:
            pipe.send(getattr(models, method)(*arguments))
        except Exception as e:
            pipe.send(e)


def run_all(processes: list[Process], method: str, *arguments: Any) -> float:
    """Call the method in all processes at once; returns the seconds until the last one is done."""
    began = time.perf_counter()
    for process in processes:
        process.send(method, *arguments)
    for process in processes:
        process.result()
    return time.perf_counter() - began
