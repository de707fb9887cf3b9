"""`xner project`: gold entities of one side of a parallel file, projected to the other side and scored.

Gold on both sides measures projection alone, without a teacher's mistakes. Hundreds of sentences, so plain loops.
`GoldPair` is what all projectors are asked, here and in `bench/projection.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xner_ray.config import TagScheme
from xner_ray.errors import UserError
from xner_ray.evaluation.projection_scores import Target, read_target, score_projection
from xner_ray.text.conll import Sentence, read_conll
from xner_ray.text.tags import Span, bio2_to_spans, spans_to_bio2
from xner_ray.text.token_spans import char_to_token_spans
from xner_ray.text.words import CharSpan

Candidate = tuple[int, int, int, float]  # entity, start, end, score
AUTO, KEEP, MISC = "auto", "keep", "MISC"


class Projects(Protocol):
    """What `Projector` and `Similarity` have in common."""

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[Candidate]]: ...


@dataclass(frozen=True)
class GoldPair:
    """A source with entities and its translation, line by line.

    Attributes:
        sources: raw strings; words: the character spans of each one's tokens; entities: (start, end, type) of each,
            characters.
        targets: their translations, in `language`.
    """

    sources: list[str]
    words: list[list[CharSpan]]
    entities: list[list[Span]]
    targets: list[Target]
    language: str


def read_gold_pair(
    source: str | Path,
    target: str | Path,
    language: str = "de",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    source_language: str = "en",
    scheme: TagScheme = "bio2",
) -> GoldPair:
    """Read both sides; arguments and errors are those of `project_files`."""
    gold = read_conll(source, source_language, tag_map, types, scheme=scheme)
    targets = read_target(target, language, tag_map, types, scheme)
    if len(gold) != len(targets):
        raise UserError(
            f"{len(targets)} sentences, {len(gold)} in {source}",
            file=target,
            remedy="both sides must be line-parallel",
        )
    spaced = [sentence.detokenize() for sentence in gold]
    entities = [
        [(words[a][0], words[b - 1][1], kind) for a, b, kind in bio2_to_spans(sentence.tags)]
        for sentence, (_, words) in zip(gold, spaced, strict=True)
    ]
    return GoldPair([text for text, _ in spaced], [words for _, words in spaced], entities, targets, language)


def project_files(
    model: str | Path | Projects,
    source: str | Path,
    target: str | Path,
    language: str = "de",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    source_language: str = "en",
    scheme: TagScheme = "bio2",
    lowercase: str = AUTO,
) -> dict[str, Any]:
    """Project the entities of a CoNLL file onto a parallel file.

    Args:
        model: a projector, or the folder of one.
        source: CoNLL with entities.
        target: CoNLL with or without tags, or `.txt` with one sentence a line; as many sentences as `source`.
        language: of the target, ISO 639-1.
        tag_map, types, scheme: as in `read_conll`, for both sides.
        lowercase: what a name is that became a single word in lower case (`deutsche` of Germany): a type, `keep` for its own, or
            `auto`, which is MISC where the source has entities of that type. CoNLL's English calls adjectives so, and the name
            was none, so its own type would not be the scheme's.

    Returns:
        sentences: the target's `Sentence`s with projected tags. counts: sentences, entities, unmapped (mentions
        without a span). Where the target has tags also precision, recall, f1 (percent), gold, predicted, correct.

    Raises:
        UserError: the files differ in length, or as `read_conll` and `read_target`.
    """
    pair = read_gold_pair(source, target, language, tag_map, types, source_language, scheme)
    if isinstance(model, (str, Path)):
        from xner_ray.alignment.projector import Projector

        model = Projector.load(model)
    texts, entities, targets = pair.sources, pair.entities, pair.targets
    found = model.project_entities(texts, entities, [t.text for t in targets], language)
    adjective = kind_of_adjectives(lowercase, entities)
    rows = zip(texts, targets, entities, found, strict=True)
    tags = [sentence_tags(s, t, e, c, adjective) for s, t, e, c in rows]
    mapped = sum(len({c[0] for c in row}) for row in found)
    asked = sum(len(set(_queries(t, e))) for t, e in zip(texts, entities, strict=True))
    result: dict[str, Any] = {
        "counts": {"sentences": len(texts), "entities": sum(map(len, entities)), "queries": asked, "mapped": mapped},
        "sentences": [Sentence(t.tokens, row, language) for t, row in zip(targets, tags, strict=True)],
    }
    if targets[0].tags is not None:
        result |= score_projection([t.tags or [] for t in targets], tags)
    return result


def _queries(text: str, entities: Sequence[Span]) -> list[tuple[str, str]]:
    return [(text[a:b], kind) for a, b, kind in entities]


def kind_of_adjectives(asked: str, entities: Sequence[Sequence[Span]]) -> str | None:
    """The type that `lowercase` of `project_files` asks for; None: each keeps its own."""
    if asked == AUTO:
        return MISC if any(kind == MISC for row in entities for *_, kind in row) else None
    return None if asked == KEEP else asked


def sentence_tags(
    source: str,
    target: Target,
    entities: Sequence[Span],
    candidates: Sequence[Candidate],
    adjective: str | None = None,
) -> list[str]:
    """BIO2 tags of the target's own tokens. `adjective`: of single words in lower case whose name has a capital letter."""
    taken = [
        (c[1], c[2], kind_of(source, target.text, entities, c, adjective))
        for c in taken_spans(target.text, candidates)
    ]
    return spans_to_bio2(char_to_token_spans(target.text, taken, target.spans), len(target.tokens))


def kind_of(source: str, text: str, entities: Sequence[Span], candidate: Candidate, adjective: str | None) -> str:
    """The type of a taken span: its entity's, or `adjective` (see `sentence_tags`)."""
    entity, start, end, _ = candidate
    at, _, kind = entities[entity]
    small = text[start].islower() and not any(map(str.isspace, text[start:end]))
    return adjective if adjective and small and source[at].isupper() else kind


def taken_spans(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Each query's best span and those with the same text, better scores first, without those that overlap a better
    one.
    """
    taken: list[Candidate] = []
    for candidate in best_spans(text, candidates):
        if all(candidate[2] <= start or end <= candidate[1] for _, start, end, _ in taken):
            taken.append(candidate)
    return taken


def best_spans(text: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of each entity the candidate that scores best, and all with the same surface text; sorted by score, best
    first.
    """
    best: dict[int, Candidate] = {}
    ordered = sorted(candidates, key=lambda c: (-c[3], c[1]))
    for candidate in ordered:
        best.setdefault(candidate[0], candidate)
    return [c for c in ordered if text[c[1] : c[2]] == text[slice(*best[c[0]][1:3])]]
