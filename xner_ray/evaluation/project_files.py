"""`xner project`: gold entities of one side of a parallel file, projected to the other side and scored.

Gold on both sides measures projection without the errors of a teacher. The files have a few hundred sentences, so these are
plain loops. `GoldPair` is the input of all projectors, here and in `bench/projection.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xner_ray.alignment.candidates import Projection
from xner_ray.config import TagScheme
from xner_ray.encoders.row_guard import name_failing_row
from xner_ray.errors import UserError
from xner_ray.evaluation.projection_scores import Target, read_target, score_projection
from xner_ray.ner.source_gold import entity_types
from xner_ray.text.conll import Sentence, read_conll
from xner_ray.text.tags import Span, bio2_to_spans, spans_to_bio2
from xner_ray.text.token_spans import char_to_token_spans
from xner_ray.text.words import CharSpan

AUTO, KEEP, MISC = "auto", "keep", "MISC"


class EntityProjector(Protocol):
    """Implemented by `Projector`, by `Similarity`, and by the baselines in `bench`."""

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[Projection]]:
        """Candidates of each pair, see `Projector.project_entities`."""
        ...


@dataclass(frozen=True)
class GoldPair:
    """Source sentences with entities, and their translations.

    Attributes:
        sources: raw strings.
        words: half-open character spans of the words of each source.
        entities: (start, end, type) of each source, in characters.
        targets: the translation of each source.
        language: of the targets, ISO 639-1.
        target_file: the file of the targets, for messages.
    """

    sources: list[str]
    words: list[list[CharSpan]]
    entities: list[list[Span]]
    targets: list[Target]
    language: str
    target_file: str


def read_gold_pair(
    source: str | Path,
    target: str | Path,
    language: str = "de",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
    source_language: str = "en",
    scheme: TagScheme = "bio2",
) -> GoldPair:
    """Read a CoNLL file with entities and its translation.

    Args:
        source: CoNLL with entities.
        target: CoNLL with or without tags, or text with one sentence a line; as many sentences as `source`.
        language: of the target, ISO 639-1.
        tag_map: as in `read_conll`, for both sides.
        types: as in `read_conll`, for both sides.
        source_language: ISO 639-1.
        scheme: as in `read_conll`, for both sides.

    Raises:
        UserError: the files differ in length, or as `read_conll` and `read_target`.
    """
    gold = read_conll(source, source_language, tag_map, types, scheme=scheme)
    if types and not any(tag != "O" for sentence in gold for tag in sentence.tags):
        present = entity_types(read_conll(source, source_language, tag_map, scheme=scheme))
        remedy = f"choose from the types of the file: {', '.join(present)}"
        raise UserError(f"no entity has a type of {', '.join(types)}", file=source, key="--types", remedy=remedy)
    targets = read_target(target, language, tag_map, types, scheme, len(gold))
    if len(gold) != len(targets):
        raise UserError(
            f"{len(targets)} sentences, {len(gold)} in {source}",
            file=target,
            remedy="both sides must be line-parallel",
        )
    texts_and_words = [sentence.detokenize() for sentence in gold]
    entities = [
        [(words[a][0], words[b - 1][1], kind) for a, b, kind in bio2_to_spans(sentence.tags)]
        for sentence, (_, words) in zip(gold, texts_and_words, strict=True)
    ]
    sources, words = [text for text, _ in texts_and_words], [words for _, words in texts_and_words]
    return GoldPair(sources, words, entities, targets, language, str(target))


def project_gold(model: str | Path | EntityProjector, pair: GoldPair, lowercase: str = AUTO) -> dict[str, Any]:
    """Project the entities of source sentences to their translations, and score the result if these have tags.

    Args:
        model: a projector, or the folder of one.
        pair: the sentences, see `read_gold_pair`.
        lowercase: type of a capitalized name that became a single lowercase word (`deutsche` of Germany). `keep`: its own type.
            `auto`: MISC where the source has entities of that type, because CoNLL labels English adjectives as MISC.

    Returns:
        sentences: the target's `Sentence`s with projected tags.
        counts: sentences, entities, queries (distinct entities of a sentence), mapped (queries with a span).
        precision, recall, f1 (percent), gold, predicted, correct: where the target has tags.

    Raises:
        UserError: the folder holds no projector, or it raises an error on a sentence.
    """
    if isinstance(model, (str, Path)):
        from xner_ray.alignment.projector import Projector

        projector: EntityProjector = Projector.load(model)
    else:
        projector = model
    targets = pair.targets

    def project(rows: np.ndarray) -> list[list[Projection]]:
        sources, entities = [pair.sources[i] for i in rows], [pair.entities[i] for i in rows]
        return projector.project_entities(sources, entities, [targets[i].text for i in rows], pair.language)

    projections = name_failing_row(project, len(targets), "sentence", pair.target_file)
    adjective_type = lowercase_type(lowercase, pair.entities)
    rows = zip(pair.sources, targets, pair.entities, projections, strict=True)
    tags = [projected_tags(*row, adjective_type) for row in rows]
    queries = [
        {(text[a:b], kind) for a, b, kind in entities}
        for text, entities in zip(pair.sources, pair.entities, strict=True)
    ]
    result: dict[str, Any] = {
        "counts": {
            "sentences": len(pair.sources),
            "entities": sum(map(len, pair.entities)),
            "queries": sum(map(len, queries)),
            "mapped": sum(len({p.entity for p in row}) for row in projections),
        },
        "sentences": [Sentence(t.tokens, row, pair.language) for t, row in zip(targets, tags, strict=True)],
    }
    if targets[0].tags is not None:
        result |= score_projection([t.tags or [] for t in targets], tags)
    return result


def lowercase_type(lowercase: str, entities: Sequence[Sequence[Span]]) -> str | None:
    """The type of the option `lowercase` of `project_gold`. None: each entity keeps its own type.

    Args:
        lowercase: a type, AUTO or KEEP.
        entities: of the sources, for AUTO.
    """
    if lowercase == AUTO:
        return MISC if any(kind == MISC for row in entities for *_, kind in row) else None
    return None if lowercase == KEEP else lowercase


def projected_tags(
    source: str,
    target: Target,
    entities: Sequence[Span],
    projections: Sequence[Projection],
    adjective_type: str | None = None,
) -> list[str]:
    """BIO2 tags of the target's tokens.

    Args:
        source: raw text.
        target: its translation.
        entities: (start, end, type) of the source.
        projections: candidates of the entities.
        adjective_type: type of single lowercase words whose name is capitalized; None: the type of the entity.
    """
    spans = [
        (p.start, p.end, projected_type(source, target.text, entities, p, adjective_type))
        for p in select_projections(target.text, projections)
    ]
    return spans_to_bio2(char_to_token_spans(target.text, spans, target.spans), len(target.tokens))


def projected_type(
    source: str, text: str, entities: Sequence[Span], projection: Projection, adjective_type: str | None
) -> str:
    """The type of a projected span, see `projected_tags`."""
    name_start, _, entity_type = entities[projection.entity]
    surface = text[projection.start : projection.end]
    is_lowercase_word = surface[:1].islower() and not any(map(str.isspace, surface))
    if adjective_type and is_lowercase_word and source[name_start].isupper():
        return adjective_type
    return entity_type


def select_projections(text: str, projections: Sequence[Projection]) -> list[Projection]:
    """The best spans without overlap: a span that overlaps a better one is left out.

    Returns:
        Projections sorted by score, the best one first.
    """
    selected: list[Projection] = []
    for candidate in best_projections(text, projections):
        if all(candidate.end <= p.start or p.end <= candidate.start for p in selected):
            selected.append(candidate)
    return selected


def best_projections(text: str, projections: Sequence[Projection]) -> list[Projection]:
    """Of each entity the projection with the best score, and all others with the same surface text.

    Returns:
        Projections sorted by score, the best one first.
    """
    best: dict[int, Projection] = {}
    ordered = sorted(projections, key=lambda p: (-p.score, p.start))
    for projection in ordered:
        best.setdefault(projection.entity, projection)

    def surface(projection: Projection) -> str:
        return text[projection.start : projection.end]

    return [p for p in ordered if surface(p) == surface(best[p.entity])]
