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
from xner_ray.errors import UserError
from xner_ray.ner.label_normalizer import SPACY_PREFIX, model_labels, output_labels, read_config
from xner_ray.ner.tagger import is_onnx_export, is_spacy_teacher
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
        folder: of a trained or adopted tagger, with weights. Its types are normalized, as those of gold are.
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
    groups = _types_of_groups(folder)
    spans = ([(e["start"], e["end"], groups[e["entity_group"]]) for e in row] for row in found)
    return span_scores(gold, ([span for span in row if span[2] != "O"] for row in spans), types)


def check_has_pipeline(model: str) -> None:
    """Check that `transformers.pipeline` can open a tagger.

    Args:
        model: a folder, or `spacy:` and a folder.

    Raises:
        UserError: it is a spaCy pipeline or an export to ONNX.
    """
    folder = model.removeprefix(SPACY_PREFIX)
    if is_spacy_teacher(folder) or is_onnx_export(folder):
        problem = f"transformers.pipeline cannot open {'a spaCy pipeline' if is_spacy_teacher(folder) else 'an export to ONNX'}"
        raise UserError(problem, file=folder, key="--pipeline", remedy="leave it out")


def _types_of_groups(folder: str | Path) -> dict[str, str]:
    """The normalized type, or O, of each `entity_group` of the pipeline. It names a label without B- and I-."""
    groups: dict[str, str] = {}
    for label, normalized in zip(model_labels(read_config(folder)), output_labels(folder), strict=True):
        group = label[2:] if label.startswith(("B-", "I-")) else label
        if groups.get(group, "O") == "O":
            groups[group] = normalized[2:] or "O"
    return groups


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
