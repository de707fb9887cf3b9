"""Scores of one tagger on one gold set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xner_ray.config import TagScheme
from xner_ray.errors import UserError
from xner_ray.evaluation.bootstrap import resample, sentence_counts, with_intervals
from xner_ray.evaluation.calibration import reliability
from xner_ray.evaluation.scores import scores
from xner_ray.text.conll import Sentence, read_conll
from xner_ray.text.tags import bio2_to_spans

DRAWS = "draws"  # resampled F1: kept with the scores, so that models can be compared draw by draw, not in results


class ScoredTagger(Protocol):
    """A tagger of given words."""

    def predict_tags(self, texts: Sequence[Any]) -> tuple[list[list[str]], np.ndarray]:
        """BIO2 tags of each text's words, and the score of each entity in the order of the B- tags."""
        ...


def evaluate_model(
    model: str,
    data: str,
    language: str = "en",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    scheme: TagScheme = "bio2",
) -> dict[str, Any]:
    """Score a tagger's folder on a CoNLL file.

    Returns:
        precision, recall, f1 (percent, strict entity match by seqeval), f1_interval (95%, bootstrap), support, types,
        calibration, sentences.

    Raises:
        UserError: the folder holds no tagger, or the file is not what `text.conll` reads.
    """
    from xner_ray.ner.tagger import open_tagger

    if not Path(model).is_dir():
        remedy = "give a folder that a training wrote"
        raise UserError("no such model folder", file=model, key="--model", remedy=remedy)
    sentences = read_conll(data, language, tag_map, types, scheme=scheme)
    return without_draws(evaluate_tagger(open_tagger(model), sentences, types))


def evaluate_tagger(
    tagger: ScoredTagger, sentences: Sequence[Sentence], types: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score a loaded tagger.

    Args:
        tagger: tags the words of the sentences.
        sentences: gold.
        types: predictions of other types count as O, as such gold entities did when the file was read; default: all count.

    Returns:
        as `evaluate_model`, with the resampled F1 values under DRAWS.
    """
    predicted, certain = tagger.predict_tags([s.join_tokens() for s in sentences])
    if types:
        kept = [tag[2:] in types for tags in predicted for tag in tags if tag.startswith("B-")]
        certain = certain[np.array(kept, bool)]
        predicted = [[tag if tag[2:] in types else "O" for tag in tags] for tags in predicted]
    gold = [s.tags for s in sentences]
    draws = resample(*sentence_counts(gold, predicted))
    return {
        **with_intervals(scores(gold, predicted), draws),
        "calibration": reliability(certain, _correct(gold, predicted)),
        "sentences": len(sentences),
        DRAWS: draws,
    }


def without_draws(measured: dict[str, Any]) -> dict[str, Any]:
    """Scores as results hold them."""
    return {key: value for key, value in measured.items() if key != DRAWS}


def _correct(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether each predicted entity is one of gold, in the order of the B- tags."""
    pairs = ((bio2_to_spans(a), bio2_to_spans(b)) for a, b in zip(gold, predicted, strict=True))
    return np.array([span in right for right, found in pairs for span in found], bool)
