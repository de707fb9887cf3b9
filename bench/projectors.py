"""The projectors that `bench/projection.py` compares, beside ours: exact match, peers' word alignments, fusions.

All answer the same question in the same form, so one metric scores them: for each pair the candidates (entity, start, end,
score) of its entities, `entity` the first of those with its name and type.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from xner_ray.evaluation.project_files import Candidate, GoldPair
from xner_ray.text.languages import get_language
from xner_ray.text.tags import Span

Votes = list[list[Candidate]]
GAP = 1  # words without a link that a span may step over, as in our own decoding
PEERS = {  # name: (environment, requirements, method)
    "simalign inter": ("simalign", ("simalign==0.4",), "inter"),
    "simalign itermax": ("simalign", ("simalign==0.4",), "itermax"),
    "simalign mwmf": ("simalign", ("simalign==0.4",), "mwmf"),
    "awesome-align": ("awesome-align", ("awesome-align==0.1.7", "safetensors"), "awesome"),
}


class Exact:
    """The name as it is written, as whole words of the target (anywhere where there are no spaces)."""

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> Votes:
        edge = (r"(?<!\w)", r"(?!\w)") if get_language(language).uses_spaces else ("", "")
        return [
            [
                (index, *match.span(), 1.0)
                for index, (start, end, *_) in enumerate(row)
                for match in re.finditer(edge[0] + re.escape(source[start:end]) + edge[1], target)
            ]
            for source, row, target in zip(sources, entities, targets, strict=True)
        ]


def by_query(pair: GoldPair, votes: Votes) -> Votes:
    """Candidates of equal entities under the first of them, each span once."""
    merged = []
    for text, entities, row in zip(pair.sources, pair.entities, votes, strict=True):
        first: dict[tuple[str, str], int] = {}
        of = [first.setdefault((text[a:b], kind), i) for i, (a, b, kind) in enumerate(entities)]
        best: dict[tuple[int, int, int], float] = {}
        for entity, start, end, score in row:
            key = (of[entity], start, end)
            best[key] = max(score, best.get(key, 0.0))
        merged.append([(*key, score) for key, score in sorted(best.items())])
    return merged


# --- word aligners -------------------------------------------------------------------------------------------------


def peer(name: str, python: Path, encoder: Path, layer: int, pair: GoldPair) -> tuple[Votes, float]:
    """Run a peer in its environment: candidates, and the seconds that it took to align."""
    texts = [
        ([source[a:b] for a, b in words], target.tokens)
        for source, words, target in zip(pair.sources, pair.words, pair.targets, strict=True)
    ]
    script = Path(__file__).with_name("peer_aligners.py")
    command = [str(python), str(script), PEERS[name][2], str(encoder), str(layer)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout[done.stdout.index('{"seconds"') :])  # AWESOME-align prints, too
    rows = zip(pair.words, pair.entities, pair.targets, told["links"], strict=True)
    return [linked(words, spans, t.spans, links) for words, spans, t, links in rows], told["seconds"]


def linked(
    words: Sequence[Span], entities: Sequence[Span], target: Sequence[Span], links: Sequence
) -> list[Candidate]:
    """Candidates of one pair by its word alignment: the run of linked words that has most, for each entity.

    Args:
        words, target: character spans of the tokens of both sides.
        links: (source token, target token, score).

    Returns:
        The score is the sum of the run's links over the entity's tokens, 1 at most.
    """
    found = []
    for index, (start, end, _) in enumerate(entities):
        own = {i for i, (a, b, *_) in enumerate(words) if start < b and a < end}
        weight: dict[int, float] = {}
        for i, j, score in links:
            if i in own:
                weight[j] = weight.get(j, 0.0) + score
        run = max(_runs(sorted(weight)), key=lambda run: sum(weight[j] for j in run), default=None)
        if run:
            score = min(1.0, sum(weight[j] for j in run) / len(own))
            found.append((index, target[run[0]][0], target[run[-1]][1], score))
    return found


def _runs(positions: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for j in positions:
        if runs and j - runs[-1][-1] <= GAP + 1:
            runs[-1].append(j)
        else:
            runs.append([j])
    return runs


# --- fusions -------------------------------------------------------------------------------------------------------


def agreed(ours: Votes, theirs: Votes) -> Votes:
    """Spans that both projectors find, with the mean of their scores."""
    rows = []
    for a, b in zip(ours, theirs, strict=True):
        other = {c[:3]: c[3] for c in b}
        rows.append([(*c[:3], (c[3] + other[c[:3]]) / 2) for c in a if c[:3] in other])
    return rows


Fusion = tuple[Callable[..., Votes], tuple[str, ...]]
FUSIONS: dict[str, Fusion] = {  # what is fused must be there
    "aligner and similarity agree": (agreed, ("aligner", "similarity")),
}
