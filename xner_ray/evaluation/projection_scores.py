"""The target side of `xner project`, and scores of projected entities against its gold.

A target file is CoNLL, with tags or with tokens alone, or plain text with one sentence a line. Its content decides, because OPUS
names plain text by language (`NAME.de`). Projectors read raw text, so each
sentence has its text, and the character spans of its words lead back to tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.config import TagScheme
from xner_ray.errors import UserError
from xner_ray.evaluation.scores import check_aligned
from xner_ray.text.conll import blocks, read_conll, read_lines
from xner_ray.text.gold_language import check_spacing
from xner_ray.text.tags import bio2_to_spans
from xner_ray.text.words import CharSpan, detokenize, tokenize_words

_CONLL_SUFFIXES = {".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio", ".bio2", ".bioes", ".parquet"}
_TAGGED = re.compile(r"\s(?:O|[BIESLUM]-\S+)\s*$")


@dataclass(frozen=True)
class Target:
    """A target sentence.

    Attributes:
        text: raw text.
        tokens: its words.
        spans: half-open character spans of the words.
        tags: BIO2 gold tags of the words; None without gold.
    """

    text: str
    tokens: list[str]
    spans: list[CharSpan]
    tags: list[str] | None = None


def read_target(
    path: str | Path,
    language: str,
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    scheme: TagScheme = "bio2",
    num_sentences: int | None = None,
) -> list[Target]:
    """Read a target file.

    Args:
        path: plain text has one sentence a line, and an empty line is an empty sentence, so that lines stay parallel. CoNLL has
            a tag on every line or on none. See `is_plain_text`.
        language: ISO 639-1; decides on spaces and words.
        tag_map: as in `read_conll`.
        types: as in `read_conll`.
        scheme: as in `read_conll`.
        num_sentences: of the source.

    Raises:
        UserError: as `read_conll`, or tags on some lines only, or no sentence.
    """
    if is_plain_text(path, num_sentences):
        targets = []
        for line in read_lines(path):
            spans = tokenize_words(line, language)
            targets.append(Target(line, [line[a:b] for a, b in spans], spans))
    elif _is_tagged(path):
        sentences = read_conll(path, language, tag_map, types, scheme=scheme)
        targets = [_target_of(s.tokens, language, s.tags) for s in sentences]
    else:
        targets = [_target_of([row.columns[0] for row in rows], language) for rows in blocks(path)]
    check_spacing([target.tokens for target in targets], language, path)
    if not targets:
        raise UserError("has no sentence", file=path, remedy="give CoNLL, or text with one sentence a line")
    return targets


def is_plain_text(path: str | Path, num_sentences: int | None = None) -> bool:
    """Whether a file has a sentence on each line instead of a token.

    Args:
        path: the file.
        num_sentences: a file with as many lines is plain text.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _CONLL_SUFFIXES:
        return False
    lines = read_lines(path)
    if len(lines) == num_sentences:
        return True
    full = [line for line in lines if line.strip()]
    has_columns = all("\t" in line.strip() or _TAGGED.search(line) for line in full)
    one_token = len(full) < len(lines) and all(len(line.split()) == 1 for line in full)
    return not (has_columns or one_token)


def _target_of(tokens: list[str], language: str, tags: list[str] | None = None) -> Target:
    text, spans = detokenize(tokens, language)
    return Target(text, tokens, spans, tags)


def _is_tagged(path: str | Path) -> bool:
    """Whether every line has a tag. Raises a UserError where only some have."""
    first_bare = first_tagged = None
    for rows in blocks(path):
        for row in rows:
            if len(row.columns) > 1:
                first_tagged = first_tagged or row.number
            else:
                first_bare = first_bare or row.number
        if first_bare and first_tagged:
            raise UserError(
                f"has tags on some lines only (line {first_tagged} has one, line {first_bare} has none)",
                file=path,
                line=max(first_bare, first_tagged),
                remedy="give each token a tag, or none of them",
            )
    return first_tagged is not None


def score_projection(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 (percent) of projected entities. Correct: the same type and token span in the same sentence.

    Args:
        gold: BIO2 tags of each target sentence.
        predicted: likewise.

    Returns:
        precision, recall, f1, and the counts gold, predicted, correct.
    """
    check_aligned(gold, predicted)
    num_correct = num_gold = num_predicted = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        gold_spans, predicted_spans = set(bio2_to_spans(gold_tags)), set(bio2_to_spans(predicted_tags))
        num_correct += len(gold_spans & predicted_spans)
        num_gold += len(gold_spans)
        num_predicted += len(predicted_spans)
    scores = {
        "precision": num_correct / num_predicted if num_predicted else 0.0,
        "recall": num_correct / num_gold if num_gold else 0.0,
        "f1": 2 * num_correct / (num_gold + num_predicted) if num_correct else 0.0,
    }
    percent = {name: round(100 * value, 2) for name, value in scores.items()}
    return {**percent, "gold": num_gold, "predicted": num_predicted, "correct": num_correct}
