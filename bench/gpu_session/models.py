"""Models, rows and clocks that the parts share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bench.gpu_session.parts import Session
from xner_ray.alignment.projector import LABELS
from xner_ray.alignment.queries import Queries, encode_queries, query_texts
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.text.tags import label_list

TYPES = label_list(["LOC", "MISC", "ORG", "PER"])


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder."""

    layers: int
    width: int
    heads: int
    inner: int

    def flops(self, lengths: np.ndarray) -> float:
        """Floating-point operations of a forward pass over rows of these lengths, without padding: weights and attention."""
        n = np.asarray(lengths, np.float64)
        weights = 2 * (4 * self.width**2 + 2 * self.width * self.inner) * n.sum()
        return self.layers * float(weights + 4 * self.width * (n**2).sum())


XLM_R_LARGE, SMALL = Shape(24, 1024, 16, 4096), Shape(2, 64, 4, 128)


def large_shape(session: Session) -> Shape:
    """XLM-R-large, or a small stand-in for it."""
    return SMALL if session.small else XLM_R_LARGE


def embedded_shape(session: Session) -> Shape:
    """The shape of the embedded encoder."""
    config = json.loads((session.encoder / "config.json").read_text())
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    return Shape(*(config[key] for key in keys))


def random_model(shape: Shape, session: Session, labels: int) -> torch.nn.Module:
    """A token classifier of XLM-R with a shape and random weights, on the device."""
    from transformers import XLMRobertaConfig, XLMRobertaForTokenClassification

    vocabulary = json.loads((session.encoder / "config.json").read_text())["vocab_size"]
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        num_labels=labels,
    )
    torch.manual_seed(1)
    with torch.device(session.device):
        return XLMRobertaForTokenClassification(config)


def embedded_model(session: Session, labels: list[str]) -> torch.nn.Module:
    """The embedded encoder with a random head."""
    from xner_ray.encoders.load import load_model

    return load_model(session.encoder, labels)


def engines(session: Session, shape: Shape, precision: str) -> list[TorchEngine]:
    """Teacher and aligner of a shape with random weights, as the labeling functions construct them."""
    models = [random_model(shape, session, labels) for labels in (len(TYPES), len(LABELS))]
    return [TorchEngine(model, precision=precision, device=session.device) for model in models]


class Rows:
    """The rows of teacher and aligner, and the table that they come from.

    Args:
        session: names the pack.
        max_length: longest row of the models.
    """

    def __init__(self, session: Session, max_length: int = 512):
        self.settings: dict[str, Any] = json.loads((session.pack / "pack.json").read_text())
        self.language: str = self.settings["language"]
        self.table: pa.Table = pq.read_table(session.pack / "pairs.parquet").slice(0, session.pairs).combine_chunks()
        self.tokenizer = Tokenizer(str(session.encoder), without_transformers=True)
        self.max_length = max_length

    @cached_property
    def teacher(self) -> Ragged:
        return self.tokenizer.with_special_tokens(self.tokenizer(self.table["source"].to_pylist()).ids)

    @cached_property
    def aligner(self) -> Ragged:
        queries = Queries.from_table(self.table)
        texts = query_texts(self.table, queries, self.language)
        return encode_queries(self.tokenizer, queries, texts, self.max_length).ids

    @property
    def tokens(self) -> int:
        """Tokens of all rows, with special tokens."""
        return len(self.teacher.values) + len(self.aligner.values)

    def flops(self, shape: Shape) -> float:
        return shape.flops(self.teacher.lengths) + shape.flops(self.aligner.lengths)


def now(device: str) -> float:
    """Seconds, after the device has finished its work."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def fastest(device: str, run: Callable[[], Any], rounds: int) -> float:
    """Seconds of the fastest of some calls, after one call that does not count."""
    run()
    best = float("inf")
    for _ in range(rounds):
        began = now(device)
        run()
        best = min(best, now(device) - began)
    return best


class BusyTimer:
    """Sums the time inside forward passes, on a GPU by events on its own clock, so that the host does not wait."""

    def __init__(self, models: Sequence[torch.nn.Module], device: str):
        self.device, self.timestamps = device, []  # type: tuple[str, list[Any]]
        for model in models:
            model.register_forward_pre_hook(lambda *_: self.timestamps.append(self._timestamp()))
            model.register_forward_hook(lambda *_: self.timestamps.append(self._timestamp()))

    def share(self, run: Callable[[], Any]) -> float:
        """The share of the time of a call in which the device is inside a forward pass."""
        self.timestamps.clear()
        began = now(self.device)
        run()
        seconds = now(self.device) - began
        pairs = zip(self.timestamps[::2], self.timestamps[1::2], strict=True)
        if self.device == "cuda":
            return round(sum(a.elapsed_time(b) for a, b in pairs) / 1000 / seconds, 3)
        return round(sum(b - a for a, b in pairs) / seconds, 3)

    def _timestamp(self) -> Any:
        if self.device != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def save_model(session: Session, name: str, labels: list[str], folder: Path) -> Path:
    """Write a token classifier with random weights (`large`) or with those of the embedded encoder, in bf16."""
    from xner_ray.encoders.load import save_tokenizer

    large = name == "large"
    model: Any = random_model(large_shape(session), session, len(labels)) if large else embedded_model(session, labels)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    model.to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(session.encoder, folder)
    return folder
