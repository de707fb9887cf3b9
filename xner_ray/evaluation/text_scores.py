"""Scores on raw text: what a user gets who has no gold words.

Gold words are joined by `words.detokenize`, and entities are compared by their characters and type. `text_scores` tags the text
as `xner tag` does. `pipeline_scores` tags it with `transformers.pipeline`, which decodes subwords.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from xner_ray.encoders.folder_check import check_model_folder
from xner_ray.encoders.row_guard import name_failing_row
from xner_ray.text.conll import Sentence
from xner_ray.text.tags import Span, bio2_to_spans

_BATCH = 32


class TextTagger(Protocol):
    """A tagger of raw text."""

    def tag(self, texts: Sequence[str], language: str) -> Sequence[Sequence[tuple[int, int, str, float]]]:
        """The entities of each text: start, end, type, score."""
        ...


def text_scores(
    tagger: TextTagger, sentences: Sequence[Sentence], types: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score a tagger on raw text.

    Args:
        tagger: decodes raw text.
        sentences: gold of one language.
        types: predictions of other types do not count; default: all count.

    Returns:
        `precision`, `recall`, `f1` (percent) and `support`.
    """
    texts, gold = _raw(sentences)
    language = sentences[0].language if sentences else "en"
    found = name_failing_row(lambda rows: tagger.tag([texts[i] for i in rows], language), len(texts), "sentence")
    return span_scores(gold, ([(a, b, kind) for a, b, kind, _ in row] for row in found), types)


def pipeline_scores(
    folder: str | Path, sentences: Sequence[Sentence], types: Sequence[str] | None = None
) -> dict[str, Any]:
    """Score a model folder on raw text with `transformers.pipeline` and `aggregation_strategy="simple"`.

    Args:
        folder: of a trained tagger, with weights.
        sentences, types: see `text_scores`.

    Returns:
        as `text_scores`.

    Raises:
        UserError: the folder has no weights or they are damaged.
    """
    check_model_folder(folder)
    from transformers import pipeline

    from xner_ray.encoders.load import load_model, load_tokenizer

    texts, gold = _raw(sentences)
    tag = pipeline(
        "token-classification",
        model=load_model(folder),
        tokenizer=load_tokenizer(folder),
        aggregation_strategy="simple",
        batch_size=_BATCH,
    )
    found: Any = tag(texts) if texts else []
    return span_scores(gold, ([(e["start"], e["end"], e["entity_group"]) for e in row] for row in found), types)


def span_scores(
    gold: Iterable[Sequence[Span]], predicted: Iterable[Iterable[Span]], types: Sequence[str] | None = None
) -> dict[str, Any]:
    """Precision, recall and F1 in percent of spans, which are right if both ends and the type are equal.

    Args:
        gold: spans of each text.
        predicted: likewise.
        types: of the predicted spans that count; default: all.
    """
    counts: Counter[str] = Counter()
    for right, found in zip(gold, predicted, strict=True):
        kept = {span for span in found if types is None or span[2] in types}
        counts.update(gold=len(right), predicted=len(kept), correct=len(kept.intersection(right)))
    correct, total = counts["correct"], counts["gold"] + counts["predicted"]
    return {
        "precision": _percent(correct, counts["predicted"]),
        "recall": _percent(correct, counts["gold"]),
        "f1": _percent(2 * correct, total),
        "support": counts["gold"],
    }


def _raw(sentences: Sequence[Sentence]) -> tuple[list[str], list[list[Span]]]:
    """The text of each sentence, and its gold as spans of characters."""
    raw = [sentence.detokenize() for sentence in sentences]
    gold = [
        [(words[a][0], words[b - 1][1], kind) for a, b, kind in bio2_to_spans(sentence.tags)]
        for sentence, (_, words) in zip(sentences, raw, strict=True)
    ]
    return [text for text, _ in raw], gold


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
