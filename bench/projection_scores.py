"""Scores of `bench/projection.py`: F1 with resamples, the ceiling, F1 by coverage, and the reliability of scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from bench.projectors import Votes
from xner_ray.evaluation.bootstrap import ALL, interval, resample, sentence_counts
from xner_ray.evaluation.calibration import expected_error, reliability
from xner_ray.evaluation.project_files import GoldPair, projected_tags, projected_type, select_projections
from xner_ray.evaluation.projection_scores import score_projection
from xner_ray.text.tags import bio2_to_spans
from xner_ray.text.token_spans import char_to_token_spans

COVERAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


class QueriedPair:
    """A gold file pair; `queried` is the part of it that projectors run on, the sentence pairs with an entity.

    Args:
        adjective: the type of a projected name that is a single word in lower case.
    """

    def __init__(self, gold_pair: GoldPair, adjective: str | None = None):
        self.gold_pair, self.adjective = gold_pair, adjective
        self.rows = [i for i, entities in enumerate(gold_pair.entities) if entities]
        queried_fields = {
            name: [getattr(gold_pair, name)[i] for i in self.rows]
            for name in ("sources", "words", "entities", "targets")
        }
        self.queried = replace(gold_pair, **queried_fields)
        self.gold = [target.tags or [] for target in gold_pair.targets]

    def tags(self, votes: Votes) -> list[list[str]]:
        """BIO2 tags of all targets; targets outside of `queried` have no entity."""
        tags = [["O"] * len(target.tokens) for target in self.gold_pair.targets]
        queried = self.queried
        for i, *sentence in zip(self.rows, queried.sources, queried.targets, queried.entities, votes, strict=True):
            tags[i] = projected_tags(*sentence, self.adjective)
        return tags

    def queries(self) -> int:
        """Number of distinct (name, type) per source sentence, summed."""
        rows = zip(self.queried.sources, self.queried.entities, strict=True)
        return sum(len({(text[a:b], kind) for a, b, kind in entities}) for text, entities in rows)


def score(pair: QueriedPair, votes: Votes) -> tuple[dict[str, Any], tuple[list[str], np.ndarray]]:
    """precision, recall, f1, low, high (percent), and the counts of each sentence for paired resamples."""
    tags = pair.tags(votes)
    counts = sentence_counts(pair.gold, tags)
    row = score_projection(pair.gold, tags)
    low, high = interval(resample(*counts)[ALL])
    return {key: row[key] for key in ("precision", "recall", "f1")} | {"low": low, "high": high}, counts


def ceiling(pair: QueriedPair) -> dict[str, dict[str, float]]:
    """Scores of a perfect projection: each source entity is matched with a target entity of its type in the same pair.

    The first row projects all source entities, the second one only those with a match.
    """
    correct = source_count = gold_count = 0
    for entities, tags in zip(pair.gold_pair.entities, pair.gold, strict=True):
        source_types, target_types = (Counter(kind for *_, kind in spans) for spans in (entities, bio2_to_spans(tags)))
        correct, source_count, gold_count = (
            correct + (source_types & target_types).total(),
            source_count + source_types.total(),
            gold_count + target_types.total(),
        )

    def row(predicted: int) -> dict[str, float]:
        values = {"precision": correct / max(1, predicted), "recall": correct / max(1, gold_count)}
        values["f1"] = 2 * correct / max(1, predicted + gold_count)
        return {key: round(100 * value, 2) for key, value in values.items()} | {"projected": predicted}

    return {"ceiling, all projected": row(source_count), "ceiling, without what the target lacks": row(correct)}


def curve(pair: QueriedPair, votes: Votes) -> dict[str, Any]:
    """F1 by coverage, and calibration.

    Returns:
        `curve`: threshold, coverage (share of queries with a candidate of at least the threshold), precision, recall, f1;
        `reliability`: bins of the projected spans; `ece`: their expected calibration error.
    """
    best = sorted(
        (max(p.score for p in row if p.entity == query) for row in votes for query in {p.entity for p in row}),
        reverse=True,
    )
    queries, points = pair.queries(), []
    for target_coverage in COVERAGES:
        number = min(len(best), round(target_coverage * queries))
        threshold = best[number - 1] if number else 0.0
        if points and threshold == points[-1]["threshold"]:
            continue
        tags = pair.tags([[p for p in row if p.score >= threshold] for row in votes])
        scores = {key: score_projection(pair.gold, tags)[key] for key in ("precision", "recall", "f1")}
        covered = round(sum(s >= threshold for s in best) / queries, 4)
        points.append({"threshold": round(threshold, 4), "coverage": covered, **scores})
    bins = reliability(*_scored_spans(pair, votes))
    error = expected_error(bins)
    return {"curve": points, "reliability": bins, "ece": error if error is None else round(error, 4)}


def _scored_spans(pair: QueriedPair, votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """Score of each projected span, and whether it is a gold span."""
    scores, correct = [], []
    queried = pair.queried
    for i, source, target, entities, row in zip(
        pair.rows, queried.sources, queried.targets, queried.entities, votes, strict=True
    ):
        gold = set(bio2_to_spans(pair.gold[i]))
        for p in select_projections(target.text, row):
            kind = projected_type(source, target.text, entities, p, pair.adjective)
            token_spans = char_to_token_spans(target.text, [(p.start, p.end, kind)], target.spans)
            scores.append(min(1.0, p.score))
            correct.append(bool(token_spans) and token_spans[0] in gold)
    return np.array(scores, float), np.array(correct, bool)
