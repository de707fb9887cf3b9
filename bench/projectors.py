"""Projectors of `bench/projection.py` outside of the package: exact match, word alignments of the peers, agreement.

All return the same form, so that one metric scores them: a list of projections for each sentence pair.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from xner_ray.alignment.candidates import Projection
from xner_ray.evaluation.project_files import GoldPair
from xner_ray.text.languages import get_language
from xner_ray.text.tags import Span

Votes = list[list[Projection]]
GAP = 1  # words without a link inside of a span, as in xner_ray.alignment.decoding
PEERS = {  # name: (environment, requirements, method)
    "simalign inter": ("simalign", ("simalign==0.4",), "inter"),
    "simalign itermax": ("simalign", ("simalign==0.4",), "itermax"),
    "simalign mwmf": ("simalign", ("simalign==0.4",), "mwmf"),
    "awesome-align": ("awesome-align", ("awesome-align==0.1.7", "safetensors"), "awesome"),
}


class Exact:
    """Finds the name in the target: as whole words, or anywhere in languages without spaces."""

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> Votes:
        edge = (r"(?<!\w)", r"(?!\w)") if get_language(language).uses_spaces else ("", "")
        return [
            [
                Projection(index, *match.span(), 1.0)
                for index, (start, end, *_) in enumerate(row)
                for match in re.finditer(edge[0] + re.escape(source[start:end]) + edge[1], target)
            ]
            for source, row, target in zip(sources, entities, targets, strict=True)
        ]


def by_query(pair: GoldPair, votes: Votes) -> Votes:
    """Candidates under the first of equal entities; each span once, with its best score."""
    merged = []
    for text, entities, row in zip(pair.sources, pair.entities, votes, strict=True):
        first: dict[tuple[str, str], int] = {}
        first_indices = [first.setdefault((text[a:b], kind), i) for i, (a, b, kind) in enumerate(entities)]
        best: dict[tuple[int, int, int], float] = {}
        for p in row:
            key = (first_indices[p.entity], p.start, p.end)
            best[key] = max(p.score, best.get(key, 0.0))
        merged.append([Projection(*key, score) for key, score in sorted(best.items())])
    return merged


# --- word aligners -------------------------------------------------------------------------------------------------


def peer(name: str, python: Path, encoder: Path, layer: int, pair: GoldPair) -> tuple[Votes, float]:
    """Run a peer in its environment; returns candidates and the seconds of the alignment."""
    texts = [
        ([source[a:b] for a, b in words], target.tokens)
        for source, words, target in zip(pair.sources, pair.words, pair.targets, strict=True)
    ]
    script = Path(__file__).with_name("peer_aligners.py")
    command = [str(python), str(script), PEERS[name][2], str(encoder), str(layer)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout[done.stdout.index('{"seconds"') :])  # AWESOME-align prints to stdout before it
    rows = zip(pair.words, pair.entities, pair.targets, result["links"], strict=True)
    return [linked(words, spans, t.spans, links) for words, spans, t, links in rows], result["seconds"]


def linked(
    words: Sequence[Span], entities: Sequence[Span], target: Sequence[Span], links: Sequence
) -> list[Projection]:
    """Candidates of one sentence pair by its word alignment: for each entity the run of linked words with the largest sum.

    Args:
        words, target: character spans of the tokens of both sides.
        links: (source token, target token, score).

    Returns:
        Candidates; the score is the sum of the links of the run over the number of tokens of the entity, at most 1.
    """
    candidates = []
    for index, (start, end, _) in enumerate(entities):
        token_indices = {i for i, (a, b, *_) in enumerate(words) if start < b and a < end}
        weight: dict[int, float] = {}
        for i, j, score in links:
            if i in token_indices:
                weight[j] = weight.get(j, 0.0) + score
        run = max(_runs(sorted(weight)), key=lambda run: sum(weight[j] for j in run), default=None)
        if run:
            score = min(1.0, sum(weight[j] for j in run) / len(token_indices))
            candidates.append(Projection(index, target[run[0]][0], target[run[-1]][1], score))
    return candidates


def _runs(positions: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for j in positions:
        if runs and j - runs[-1][-1] <= GAP + 1:
            runs[-1].append(j)
        else:
            runs.append([j])
    return runs


def agreement(first: Votes, second: Votes) -> Votes:
    """Spans that both projectors find, with the mean of their scores."""
    rows = []
    for a, b in zip(first, second, strict=True):
        scores = {(p.entity, p.start, p.end): p.score for p in b}
        pairs = [(p, scores.get((p.entity, p.start, p.end))) for p in a]
        rows.append([p._replace(score=(p.score + other) / 2) for p, other in pairs if other is not None])
    return rows
