"""What `bench/projection.py` measures: F1 with its resamples, the ceiling, F1 against coverage, reliability of scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from bench.projectors import Votes
from xner_ray.evaluation.bootstrap import ALL, interval, resample, sentence_counts
from xner_ray.evaluation.calibration import expected_error, reliability
from xner_ray.evaluation.project_files import GoldPair, kind_of, sentence_tags, taken_spans
from xner_ray.evaluation.projection_scores import score_projection
from xner_ray.text.tags import bio2_to_spans
from xner_ray.text.token_spans import char_to_token_spans

COVERAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


class Asked:
    """A gold pair, and the part of it that projectors are asked about: `some`, the pairs with an entity.

    Args:
        adjective: the type of names that became a single word in lower case, in every projector's answers.
    """

    def __init__(self, whole: GoldPair, adjective: str | None = None):
        self.whole, self.adjective = whole, adjective
        self.rows = [i for i, entities in enumerate(whole.entities) if entities]
        part = {
            name: [getattr(whole, name)[i] for i in self.rows] for name in ("sources", "words", "entities", "targets")
        }
        self.some = replace(whole, **part)
        self.gold = [target.tags or [] for target in whole.targets]

    def tags(self, votes: Votes) -> list[list[str]]:
        """BIO2 tags of all targets; those that nobody was asked about have no entity."""
        tags = [["O"] * len(target.tokens) for target in self.whole.targets]
        some = self.some
        for i, *asked in zip(self.rows, some.sources, some.targets, some.entities, votes, strict=True):
            tags[i] = sentence_tags(*asked, self.adjective)
        return tags

    def queries(self) -> int:
        """Distinct (name, type) of each source, over all."""
        rows = zip(self.some.sources, self.some.entities, strict=True)
        return sum(len({(text[a:b], kind) for a, b, kind in entities}) for text, entities in rows)


def score(pair: Asked, votes: Votes) -> tuple[dict[str, Any], tuple[list[str], np.ndarray]]:
    """precision, recall, f1, low, high (percent), and the counts of each sentence for paired resamples."""
    tags = pair.tags(votes)
    counts = sentence_counts(pair.gold, tags)
    row = score_projection(pair.gold, tags)
    low, high = interval(resample(*counts)[ALL])
    return {key: row[key] for key in ("precision", "recall", "f1")} | {"low": low, "high": high}, counts


def ceiling(pair: Asked) -> dict[str, dict[str, float]]:
    """What a perfect projection reaches: each English entity meets one of its type in the target's sentence, if there is one.

    Both with all entities of the source projected, and without those that the target lacks.
    """
    right = asked = gold = 0
    for entities, tags in zip(pair.whole.entities, pair.gold, strict=True):
        ours, theirs = (Counter(kind for *_, kind in spans) for spans in (entities, bio2_to_spans(tags)))
        right, asked, gold = right + (ours & theirs).total(), asked + ours.total(), gold + theirs.total()

    def row(predicted: int) -> dict[str, float]:
        values = {"precision": right / max(1, predicted), "recall": right / max(1, gold)}
        values["f1"] = 2 * right / max(1, predicted + gold)
        return {key: round(100 * value, 2) for key, value in values.items()} | {"projected": predicted}

    return {"ceiling, all projected": row(asked), "ceiling, without what the target lacks": row(right)}


def curve(pair: Asked, votes: Votes) -> dict[str, Any]:
    """`curve`: threshold, coverage (share of the queries that still have an answer), precision, recall, f1; `reliability`
    bins of the spans that were taken, and `ece`, their expected calibration error.
    """
    best = sorted(
        (max(c[3] for c in row if c[0] == query) for row in votes for query in {c[0] for c in row}), reverse=True
    )
    queries, points = pair.queries(), []
    for wanted in COVERAGES:
        number = min(len(best), round(wanted * queries))
        threshold = best[number - 1] if number else 0.0
        if points and threshold == points[-1]["threshold"]:
            continue
        tags = pair.tags([[c for c in row if c[3] >= threshold] for row in votes])
        told = {key: score_projection(pair.gold, tags)[key] for key in ("precision", "recall", "f1")}
        covered = round(sum(s >= threshold for s in best) / queries, 4)
        points.append({"threshold": round(threshold, 4), "coverage": covered, **told})
    bins = reliability(*_judged(pair, votes))
    error = expected_error(bins)
    return {"curve": points, "reliability": bins, "ece": error if error is None else round(error, 4)}


def _judged(pair: Asked, votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """Score of each span that was taken, and whether gold has it."""
    scores, right = [], []
    some = pair.some
    for i, *asked, row in zip(pair.rows, some.sources, some.targets, some.entities, votes, strict=True):
        source, target, entities = asked
        gold = set(bio2_to_spans(pair.gold[i]))
        for candidate in taken_spans(target.text, row):
            kind = kind_of(source, target.text, entities, candidate, pair.adjective)
            own = char_to_token_spans(target.text, [(*candidate[1:3], kind)], target.spans)
            scores.append(min(1.0, candidate[3]))
            right.append(bool(own) and own[0] in gold)
    return np.array(scores, float), np.array(right, bool)
