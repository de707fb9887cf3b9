"""Held-out examples: a trained aligner must not make spans worse than no aligner.

Aligner and similarity find the names of examples that the aligner was not trained on, and the exact spans are counted.
Most examples are pairs on which the similarity agrees with itself in both directions, so they favor it. So an aligner keeps
its whole weight up to LEEWAY points below the similarity. Beyond, its weight falls, to 0 at LEFT_OUT points.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xner_ray.alignment.candidates import Projection
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.examples.example import Example
from xner_ray.alignment.span_cleanup import clean_edges
from xner_ray.alignment.spans import Spans
from xner_ray.config.models import COLLAPSED_F1
from xner_ray.text.languages import get_language

if TYPE_CHECKING:
    from xner_ray.alignment.projector import Projector
    from xner_ray.alignment.similarity import Similarity  # imports torch

MIN_EXAMPLES = 20  # fewer say nothing
LEEWAY, LEFT_OUT = 10.0, 30.0  # points of F1


def read_held_out(path: Path) -> list[Example]:
    """Read what `write_examples` wrote."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Example(**{**row, "spans": tuple(map(tuple, row["spans"]))}) for row in rows]


def measure(
    projector: Projector, similarity: Similarity, examples: Sequence[Example], language: str
) -> dict[str, Any] | None:
    """F1 of the aligner alone and of the similarity alone on examples of one language, with spans and a source text.

    Args:
        projector: decodes the aligner alone.
        similarity: the untrained similarity.
        examples: held-out ones.
        language: ISO 639-1.

    Returns:
        `examples`, their number, and the F1 of `aligner` and `similarity` in percent. None: there are too few examples.
    """
    chosen = [e for e in examples if e.spans and e.language == language and e.name in e.source_text]
    if len(chosen) < MIN_EXAMPLES:
        return None
    sources, targets = [e.source_text for e in chosen], [e.sentence for e in chosen]
    entities = [_mentions(e) for e in chosen]
    scores: dict[str, Any] = {"examples": len(chosen)}
    for name, model in (("aligner", projector), ("similarity", similarity)):
        found = model.project_entities(sources, entities, targets, language)
        spans = _span_sets(found, targets, language)
        correct = sum(len(row & set(e.spans)) for row, e in zip(spans, chosen, strict=True))
        total = sum(len(row) + len(e.spans) for row, e in zip(spans, chosen, strict=True))
        scores[name] = round(200 * correct / max(1, total), 2)
    return scores


def _span_sets(
    found: Sequence[Sequence[Projection]], targets: Sequence[str], language: str
) -> list[set[tuple[int, int]]]:
    """The spans of each target, in languages without spaces with the edges that `Projector` gives them."""
    flat = np.array([(i, p.start, p.end) for i, row in enumerate(found) for p in row], np.int64).reshape(-1, 3)
    spans = Spans(*flat.T)
    if not get_language(language).uses_spaces:
        spans = clean_edges(targets, spans)
    result: list[set[tuple[int, int]]] = [set() for _ in targets]
    for row, start, end in zip(spans.rows.tolist(), spans.starts.tolist(), spans.ends.tolist(), strict=True):
        result[row].add((start, end))
    return result


def _mentions(example: Example) -> list[tuple[int, int, str]]:
    """Occurrences of the name in the source text, at most as many as the target has."""
    found: list[tuple[int, int, str]] = []
    start = 0
    while len(found) < len(example.spans) and (start := example.source_text.find(example.name, start)) >= 0:
        found.append((start, start + len(example.name), example.kind))
        start += len(example.name)
    return found


def guarded_weight(similarity_weight: float, aligner_f1: float, similarity_f1: float) -> float:
    """The weight of the similarity: the given one, or a higher one if the aligner is much worse than the similarity.

    Args:
        similarity_weight: of the config.
        aligner_f1, similarity_f1: on held-out examples, in percent.
    """
    if aligner_f1 < COLLAPSED_F1:  # it tells nothing, however bad the similarity is
        return 1.0
    kept = (LEFT_OUT - (similarity_f1 - aligner_f1)) / (LEFT_OUT - LEEWAY)
    return round(1 - (1 - similarity_weight) * min(1.0, max(0.0, kept)), 4)


def measure_aligner(
    model: str, held_out: str, similarity: str, layer: int, decoding: Decoding, languages: Sequence[str], threads: int
) -> dict[str, dict[str, Any]]:
    """Measure a trained aligner on its held-out examples, in a worker.

    Args:
        model: folder of the trained model.
        held_out: file of the held-out examples.
        similarity: folder of the similarity's encoder.
        layer: of the similarity.
        decoding: of the config.
        languages: to measure.
        threads: number of CPU threads.

    Returns:
        By language with enough examples: the result of `measure`, and `similarity_weight`.
    """
    import torch

    from xner_ray.alignment.projector import Projector
    from xner_ray.alignment.similarity import Similarity
    from xner_ray.encoders.load import load_model
    from xner_ray.encoders.tokenizer import Tokenizer
    from xner_ray.encoders.torch_engine import TorchEngine

    torch.set_num_threads(threads)
    examples = read_held_out(Path(held_out))
    # The similarity alone keeps leading articles, as gold spans do, so the aligner keeps them, too.
    alone = replace(decoding, similarity_weight=0.0, exact_match_score=0.0, one_to_one=False)
    projector = Projector(TorchEngine(load_model(model)), Tokenizer(model), alone)
    untrained = Similarity.load(similarity, layer)
    scores = {}
    for language in languages:
        if row := measure(projector, untrained, examples, language):
            weight = guarded_weight(decoding.similarity_weight, row["aligner"], row["similarity"])
            scores[language] = {**row, "similarity_weight": weight}
    return scores
