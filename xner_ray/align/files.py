"""`xner project`: gold entities of one side of a parallel file, projected to the other side and scored.

Gold on both sides measures projection alone, without a teacher's mistakes. Hundreds of sentences, so plain loops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from xner_ray.errors import UserError
from xner_ray.evaluation.conll import Sentence, read_conll
from xner_ray.evaluation.project import Target, read_target, score_projection
from xner_ray.projection.spans import char_to_token_spans
from xner_ray.tags import Span, spans_of, tags_of

Candidate = tuple[int, int, int, float]  # entity, start, end, score


class Projects(Protocol):
    """What `Projector` and `Similarity` have in common."""

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[Candidate]]: ...


def project_files(
    model: str | Path | Projects,
    source: str | Path,
    target: str | Path,
    language: str = "de",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    source_language: str = "en",
) -> dict[str, Any]:
    """Project the entities of a CoNLL file onto a parallel file.

    Args:
        model: a projector, or the folder of one.
        source: CoNLL with entities.
        target: CoNLL with or without tags, or `.txt` with one sentence a line; as many sentences as `source`.
        language: of the target, ISO 639-1.
        tag_map, types: as in `read_conll`, for both sides.

    Returns:
        sentences: the target's `Sentence`s with projected tags. counts: sentences, entities, unmapped (mentions
        without a span). Where the target has tags also precision, recall, f1 (percent), gold, predicted, correct.

    Raises:
        UserError: the files differ in length, or as `read_conll` and `read_target`.
    """
    gold = read_conll(source, source_language, tag_map, types)
    targets = read_target(target, language, tag_map, types)
    if len(gold) != len(targets):
        raise UserError(
            f"{len(targets)} sentences, {len(gold)} in {source}",
            file=target,
            remedy="both sides must be line-parallel",
        )
    if isinstance(model, (str, Path)):
        from xner_ray.align.projector import Projector

        model = Projector.load(model)
    texts, entities = [], []
    for sentence in gold:
        text, spans = sentence.natural()
        texts.append(text)
        entities.append([(spans[a][0], spans[b - 1][1], kind) for a, b, kind in spans_of(sentence.tags)])
    found = model.project_entities(texts, entities, [t.text for t in targets], language)
    tags = [sentence_tags(t, e, c) for t, e, c in zip(targets, entities, found, strict=True)]
    mapped = sum(len({c[0] for c in row}) for row in found)
    asked = sum(len(set(_queries(t, e))) for t, e in zip(texts, entities, strict=True))
    result: dict[str, Any] = {
        "counts": {"sentences": len(gold), "entities": sum(map(len, entities)), "queries": asked, "mapped": mapped},
        "sentences": [Sentence(t.tokens, row, language) for t, row in zip(targets, tags, strict=True)],
    }
    if targets[0].tags is not None:
        result |= score_projection([t.tags or [] for t in targets], tags)
    return result


def _queries(text: str, entities: Sequence[Span]) -> list[tuple[str, str]]:
    return [(text[a:b], kind) for a, b, kind in entities]


def sentence_tags(target: Target, entities: Sequence[Span], candidates: Sequence[Candidate]) -> list[str]:
    """BIO2 tags of the target's own tokens: each query's best span and those with the same text, better scores
    first.
    """
    taken: list[Span] = []
    for entity, start, end, _ in best_spans(target.text, candidates):
        if all(end <= a or b <= start for a, b, _ in taken):
            taken.append((start, end, entities[entity][2]))
    return tags_of(char_to_token_spans(target.text, taken, target.spans), len(target.tokens))


def best_spans(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of each entity the candidate that scores best, and all with the same surface text; sorted by score, best
    first.
    """
    best: dict[int, Candidate] = {}
    ordered = sorted(candidates, key=lambda c: (-c[3], c[1]))
    for candidate in ordered:
        best.setdefault(candidate[0], candidate)
    return [c for c in ordered if text[c[1] : c[2]] == text[slice(*best[c[0]][1:3])]]
