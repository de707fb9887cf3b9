"""BIO2 tags and the label lists of models. No torch, no Arrow.

Spans are (start, end, type) with half-open token or character positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xner_ray.errors import UserError

Span = tuple[int, int, str]


def label_list(types: Iterable[str]) -> list[str]:
    """O, then B- and I- of each type in sorted order: the `id2label` of every tagger."""
    return ["O"] + [f"{prefix}-{t}" for t in sorted(set(types)) for prefix in ("B", "I")]


def bio2_to_spans(tags: Sequence[str]) -> list[Span]:
    """Spans of BIO2 tags. An I- that continues no entity starts a span, as in conlleval."""
    spans: list[Span] = []
    start, kind = 0, None
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind is not None and (prefix != "I" or name != kind):
            spans.append((start, i, kind))
            kind = None
        if prefix in ("B", "I") and kind is None:
            start, kind = i, name
    return spans


def spans_to_bio2(spans: Iterable[Span], length: int) -> list[str]:
    """BIO2 tags of spans over `length` tokens.

    Raises:
        UserError: two spans overlap, or a span does not lie within the sentence.
    """
    tags = ["O"] * length
    for start, end, kind in spans:
        if not 0 <= start < end <= length:
            raise UserError(f"span {start}:{end} does not fit a sentence of {length} tokens")
        if any(t != "O" for t in tags[start:end]):
            raise UserError(
                f"two entities overlap at tokens {start}:{end}", remedy="nested entities are not supported"
            )
        tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tags


def parse_map(text: str | None) -> dict[str, str]:
    """`GPE.NAM=LOC,PER.NOM=O` as a dict.

    Raises:
        UserError: an item is not OLD=NEW.
    """
    pairs = {}
    for item in filter(None, (text or "").split(",")):
        old, sep, new = item.partition("=")
        if not (old and sep and new):
            raise UserError(f"`{item}` is not OLD=NEW", key="--map", remedy="write e.g. GPE.NAM=LOC,PER.NOM=O")
        pairs[old.strip()] = new.strip()
    return pairs
