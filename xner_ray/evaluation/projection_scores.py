"""What `xner project` reads and how a projection is scored against gold on the target side.

A target is CoNLL, with tags or bare tokens, or plain text with one sentence a line. Text comes out as raw strings,
since that is what the aligner reads, with the words' character spans to come back to tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.config import TagScheme
from xner_ray.errors import UserError
from xner_ray.evaluation.scores import check_aligned
from xner_ray.text.conll import blocks, read_conll, read_lines
from xner_ray.text.tags import bio2_to_spans
from xner_ray.text.words import CharSpan, detokenize, tokenize_words


@dataclass(frozen=True)
class Target:
    """A sentence to project onto: raw text, its words and their character spans, gold tags if there are any."""

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
) -> list[Target]:
    """Read the target side.

    Args:
        path: `.txt` is one sentence a line (an empty line is an empty sentence, so that lines stay parallel);
        everything
            else is CoNLL, with a tag on every line or on none.
        language: ISO 639-1; decides on spaces and words.
        tag_map, types, scheme: as in `read_conll`.

    Raises:
        UserError: as `read_conll`, or tags on some lines only.
    """
    if Path(path).suffix == ".txt":
        targets = []
        for line in read_lines(path):
            spans = tokenize_words(line, language)
            targets.append(Target(line, [line[a:b] for a, b in spans], spans))
    elif _is_tagged(path):
        sentences = read_conll(path, language, tag_map, types, scheme=scheme)
        targets = [Target(*_spaced(s.tokens, language), s.tags) for s in sentences]
    else:
        targets = [Target(*_spaced([row[0] for row in rows], language)) for _, rows in blocks(path)]
    if not targets:
        raise UserError("holds no sentence", file=path, remedy="give a CoNLL file or a .txt with one sentence a line")
    return targets


def _spaced(tokens: list[str], language: str) -> tuple[str, list[str], list[CharSpan]]:
    text, spans = detokenize(tokens, language)
    return text, tokens, spans


def _is_tagged(path: str | Path) -> bool:
    """Whether every line has a tag; an error where only some have."""
    bare = tagged = None
    for first, rows in blocks(path):
        for number, row in enumerate(rows, first):
            if len(row) > 1:
                tagged = tagged or number
            else:
                bare = bare or number
        if bare and tagged:
            raise UserError(
                f"has tags on some lines only (line {tagged} has one, line {bare} has none)",
                file=path,
                line=max(bare, tagged),
                remedy="give each token a tag, or none of them",
            )
    return tagged is not None


def score_projection(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 (percent) of projected entities: same type, same token span, same sentence.

    Args:
        gold, predicted: BIO2 tags of each target sentence.

    Returns:
        precision, recall, f1, and the counts gold, predicted, correct.
    """
    check_aligned(gold, predicted)
    right = n_gold = n_predicted = 0
    for a, b in zip(gold, predicted, strict=True):
        want, got = set(bio2_to_spans(a)), set(bio2_to_spans(b))
        right, n_gold, n_predicted = right + len(want & got), n_gold + len(want), n_predicted + len(got)
    precision = right / n_predicted if n_predicted else 0.0
    recall = right / n_gold if n_gold else 0.0
    f1 = 2 * right / (n_gold + n_predicted) if right else 0.0
    rounded = {k: round(100 * v, 2) for k, v in (("precision", precision), ("recall", recall), ("f1", f1))}
    return {**rounded, "gold": n_gold, "predicted": n_predicted, "correct": right}
