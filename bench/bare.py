"""The sides without Ray: bare forward passes, and what users write today. Each core has a process with one thread.

The rows are recorded from the labeling works themselves: teacher sentences, aligner queries, and the sentences that the
untrained similarity reads (`aligner.similarity_fallback_score`, the default). Limit and pipeline run all of them: every name
is asked about, those that are spelled alike, too (`aligner.exact_match_score`), which labeling takes without asking.
What it does ask is a
second, smaller limit.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass
class Asked:
    """What the works asked: token rows by model, and the same as text.

    `ids`, `types`: of `teacher`, `aligner`, `similarity`. `repeated`: rows that came again within a shard, or again
    because another entity of the sentence has the same name.
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

    def share(self, of: int, n: int) -> Asked:
        """Every n-th row and text, sorted by length first, so that all shares weigh the same."""
        made = Asked()
        for name, ids in self.ids.items():
            mine = np.argsort(-ids.lengths, kind="stable")[of::n]
            types = self.types.get(name)
            made.ids[name], made.types[name] = ids.take(mine), types.take(mine) if types is not None else None
        made.sentences, made.queries, made.compared = (x[of::n] for x in (self.sentences, self.queries, self.compared))
        return made


class Models:
    """Teacher and aligner as the labeling works load them, on one thread.

    Args:
        core: that this process keeps to; None: any.
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
        similar = self.align.projector.similarity
        self.engines = {"teacher": self.label.tagger(language).engine, "aligner": self.align.projector.engine}
        self.engines |= {"similarity": similar.engine} if similar else {}
        self.inputs: dict[str, list[tuple[str, dict]]] = {}
        self.work: dict[str, Asked] = {"limit": Asked(), "asked": Asked()}
        self.labeled: list[Any] = []

    def record(self, tables: Sequence[Any]) -> dict[str, Asked]:
        """Label and align; distinct rows of all that could be asked (`limit`), and of what labeling asks (`asked`).

        The labeled tables are kept.
        """
        self.labeled = []
        projector = self.align.projector
        usual = projector.decoding
        projector.decoding = replace(usual, exact_match_score=0.0)
        every = self._recorded(tables)
        projector.decoding = usual
        if not usual.exact_match_score:
            return {"limit": every, "asked": every}
        fewer = self._recorded(self.labeled)
        fewer.ids["teacher"], fewer.types["teacher"] = every.ids["teacher"], every.types["teacher"]
        return {"limit": every, "asked": fewer}

    def _recorded(self, tables: Sequence[Any]) -> Asked:
        """What is asked of tables; those without entities are labeled first, and kept."""
        from xner_ray import schema
        from xner_ray.alignment.queries import Queries, query_texts

        heard: dict[str, list] = {name: [] for name in self.engines}
        asked = Asked()
        for name, engine in self.engines.items():
            engine.run = _recorder(engine.run, heard[name])
        similar = self.align.projector.similarity
        if similar:
            similar.match = _text_recorder(similar.match, asked.compared)
        for table in tables:
            if schema.ENTITIES.name not in table.column_names:
                entities, _ = self.label(table, self.language)
                table = table.append_column(schema.ENTITIES, entities)
                self.labeled.append(table)
            self.align(table, self.language)
            queries = Queries.from_table(table)
            texts = query_texts(table, queries, self.language)
            asked.sentences += table["source"].to_pylist()
            pairs = zip(queries.name_ids, texts.pair_ids, strict=True)
            asked.queries += [(queries.names[n], texts.targets[i]) for n, i in pairs]
            asked.entities += len(queries.mentions)
        for engine in self.engines.values():
            del engine.run  # the class's again
        if similar:
            del similar.match
        asked.queries, asked.compared = list(dict.fromkeys(asked.queries)), list(dict.fromkeys(asked.compared))
        for name, calls in heard.items():
            asked.ids[name], asked.types[name] = _distinct(calls)
        return asked

    def kept(self) -> list[Any]:
        return self.labeled

    def take(self, work: dict[str, Asked]) -> None:
        """This process's share of the work."""
        self.work = work

    def prepare(self, budget: int) -> float:
        """Padded tensors of the share, on the device; returns the share of padding of the limit's."""
        shares = {kind: self._prepare(kind, budget) for kind in self.work}
        return shares["limit"]

    def _prepare(self, kind: str, budget: int) -> float:
        from xner_ray.encoders.batching import min_cost_batches, pad_batch

        work, padded = self.work[kind], 0
        self.inputs[kind] = []
        for name, ids in work.ids.items():
            engine, types = self.engines[name], work.types[name]
            for batch in min_cost_batches(ids.lengths, budget) if len(ids) else []:
                tokens, mask = pad_batch(ids, batch, engine.pad_id)
                segments = pad_batch(types, batch, 0)[0] if types is not None and engine.has_segment_ids else None
                self.inputs[kind].append((name, engine._inputs(tokens, mask, segments)))
                padded += tokens.size
        return 1 - work.tokens / max(1, padded)

    def forward(self, kind: str) -> None:
        """Bare forward passes of what was prepared: `limit` or `asked`."""
        import torch

        with torch.inference_mode():
            for name, inputs in self.inputs[kind]:
                model = self.engines[name].model
                (model.base_model if name == "similarity" else model)(**inputs)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def pipeline(self, batch: int) -> None:
        """transformers.pipeline over the sentences, then padded batches of queries, then of compared sentences."""
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
        asked = self.work["limit"]
        for _ in self.pipe(asked.sentences, batch_size=batch):
            pass
        settings = {
            "padding": True,
            "return_tensors": "pt",
            "truncation": True,
            "max_length": engines["aligner"].max_length,
        }
        with torch.inference_mode():
            for at in range(0, len(asked.queries), batch):
                names, targets = zip(*asked.queries[at : at + batch], strict=True)
                inputs = self.tokenizer(list(names), list(targets), **settings).to(self.pipe.device)
                torch.softmax(engines["aligner"].model(**inputs).logits.float(), dim=-1).cpu()
            for at in range(0, len(asked.compared), batch):
                inputs = self.tokenizer(asked.compared[at : at + batch], **settings).to(self.pipe.device)
                engines["similarity"].model.base_model(**inputs).last_hidden_state.float().cpu()

    def projection(self) -> None:
        """Our align stage's work alone, on what `record` labeled."""
        for table in self.labeled:
            self.align(table, self.language)


def _recorder(run, into):
    def recorded(ids, types, forward):
        into.append((ids, types))
        return run(ids, types, forward)

    return recorded


def _text_recorder(match, into):
    def recorded(sources, targets):
        into.extend([*sources, *targets])
        return match(sources, targets)

    return recorded


def _distinct(calls: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """All rows of the calls, each once, and their segment ids."""
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
    """A `Models` in a process of its own; methods are called by name."""

    def __init__(self, *settings: Any):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
        self.process.start()
        self.result()

    def ask(self, method: str, *arguments: Any) -> None:
        self.pipe.send((method, arguments))

    def result(self) -> Any:
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, method: str, *arguments: Any) -> Any:
        self.ask(method, *arguments)
        return self.result()


def _serve(pipe: Any, settings: tuple) -> None:
    models = Models(*settings)
    pipe.send("ready")
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:  # whoever asked is gone
            return
        try:
            pipe.send(getattr(models, method)(*arguments))
        except Exception as e:
            pipe.send(e)


def together(processes: list[Process], method: str, *arguments: Any) -> float:
    """Seconds until the last of the processes has done its share."""
    began = time.perf_counter()
    for process in processes:
        process.ask(method, *arguments)
    for process in processes:
        process.result()
    return time.perf_counter() - began
