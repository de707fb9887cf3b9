"""The sides without Ray: bare forward passes, and what users write today. Each core has a process with one thread.

The rows are what the labelling works themselves asked the models, recorded once: teacher sentences, aligner queries, and
the sentences that the untrained similarity reads (`aligner.similarity`, the default).
Both sides run these and no others.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """Teacher and aligner as the labelling works load them, on one thread.

    Args:
        core: that this process keeps to; None: any.
    """

    def __init__(
        self, core: int | None, language: str, teacher: str, aligner: str, precision: str, budget: int, device: str
    ):
        import os

        import torch

        from xner_ray.stages.workers import AlignWork, LabelWork

        if core is not None:
            os.sched_setaffinity(0, [core])
        torch.set_num_threads(1)
        self.language, self.teacher, self.aligner, self.device = language, teacher, aligner, device
        common: dict[str, Any] = {"null": False, "budget": budget, "precision": precision, "threads": 1}
        self.label = LabelWork(folders={language: teacher}, source_language="en", **common)
        self.align = AlignWork(folder=aligner, **common)
        similar = self.align.projector.similarity
        self.engines = {"teacher": self.label.tagger(language).engine, "aligner": self.align.projector.engine}
        self.engines |= {"similarity": similar.engine} if similar else {}
        self.inputs: list[tuple[str, dict]] = []
        self.asked = Asked()
        self.labelled: list[Any] = []

    def record(self, tables: Sequence[Any]) -> tuple[Asked, list[Any]]:
        """Label and align; what was asked, distinct rows only, and the labelled tables, which are kept."""
        from xner_ray import schema
        from xner_ray.align.queries import queries_of, rows_asked

        heard: dict[str, list] = {name: [] for name in self.engines}
        asked, self.labelled = Asked(), []
        for name, engine in self.engines.items():
            engine.run = _recorder(engine.run, heard[name])
        similar = self.align.projector.similarity
        if similar:
            similar.match = _text_recorder(similar.match, asked.compared)
        for table in tables:
            entities, _ = self.label(table, self.language)
            table = table.append_column(schema.ENTITIES, entities)
            self.align(table, self.language)
            queries = queries_of(table)
            _, _, targets, text = rows_asked(table, queries)
            asked.sentences += table["source"].to_pylist()
            asked.queries += [(queries.names[n], targets[t]) for n, t in zip(queries.name, text, strict=True)]
            asked.entities += len(queries.mentions)
            self.labelled.append(table)
        for engine in self.engines.values():
            del engine.run  # the class's again
        if similar:
            del similar.match
        asked.queries, asked.compared = list(dict.fromkeys(asked.queries)), list(dict.fromkeys(asked.compared))
        for name, calls in heard.items():
            asked.ids[name], asked.types[name] = _distinct(calls)
        return asked, self.labelled

    def take(self, asked: Asked) -> None:
        """This process's share of the work."""
        self.asked = asked

    def prepare(self, budget: int) -> float:
        """Padded tensors of the share, on the device; returns the share of padding."""
        from xner_ray.encoder.batches import pad, tight

        self.inputs, padded = [], 0
        for name, ids in self.asked.ids.items():
            engine, types = self.engines[name], self.asked.types[name]
            for batch in tight(ids.lengths, budget) if len(ids) else []:
                tokens, mask = pad(ids, batch, engine.pad_id)
                segments = pad(types, batch, 0)[0] if types is not None and engine.has_types else None
                self.inputs.append((name, engine._inputs(tokens, mask, segments)))
                padded += tokens.size
        return 1 - self.asked.tokens / max(1, padded)

    def limit(self) -> None:
        """Bare forward passes of what was prepared."""
        import torch

        with torch.inference_mode():
            for name, inputs in self.inputs:
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
        for _ in self.pipe(self.asked.sentences, batch_size=batch):
            pass
        settings = {
            "padding": True,
            "return_tensors": "pt",
            "truncation": True,
            "max_length": engines["aligner"].max_length,
        }
        with torch.inference_mode():
            for at in range(0, len(self.asked.queries), batch):
                names, targets = zip(*self.asked.queries[at : at + batch], strict=True)
                inputs = self.tokenizer(list(names), list(targets), **settings).to(self.pipe.device)
                torch.softmax(engines["aligner"].model(**inputs).logits.float(), dim=-1).cpu()
            for at in range(0, len(self.asked.compared), batch):
                inputs = self.tokenizer(self.asked.compared[at : at + batch], **settings).to(self.pipe.device)
                engines["similarity"].model.base_model(**inputs).last_hidden_state.float().cpu()

    def projection(self) -> None:
        """Our align stage's work alone, on what `record` labelled."""
        for table in self.labelled:
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
    from xner_ray.encoder.ragged import Ragged, offsets_of
    from xner_ray.encoder.runner import distinct

    if not calls:
        return Ragged.of([]), None
    offsets = offsets_of(np.concatenate([ids.lengths for ids, _ in calls]))
    ids = Ragged(np.concatenate([ids.values for ids, _ in calls]), offsets)
    first, _ = distinct(ids)
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
