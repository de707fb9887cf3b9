"""F1 of projection on all gold projection sets of a folder, beside SimAlign and AWESOME-align with the same encoder.

`bench/quality.py` is the command. All sides get the same words, run on one core, and project the entities of the pairs that have
one. The words of Chinese are its characters. Loading is not timed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.kept import Kept
from bench.peer_env import environment
from bench.projection_scores import QueriedPair
from bench.projectors import PEERS, by_query, peer
from xner_ray.alignment.projector import Projector
from xner_ray.encoders.load import encoder_folder
from xner_ray.errors import UserError
from xner_ray.evaluation.bootstrap import ALL, interval, mean_draws, resample, sentence_counts
from xner_ray.evaluation.project_files import AUTO, lowercase_type, read_gold_pair
from xner_ray.storage.fingerprint import hash_file, hash_folder

LAYER = 7
SIMALIGN = ("simalign inter", "simalign itermax")  # mwmf is the weakest matching on Europarl, and a fourth as fast
AWESOME = "awesome-align"
WARM = 16  # pairs of the warm-up, not timed
SOURCE = "en"


@dataclass(frozen=True)
class GoldSet:
    """A gold set in one language: `NAME.en.conll` and `NAME.LANGUAGE.conll` with entities, line by line parallel."""

    name: str
    language: str
    source: Path
    target: Path

    def read(self) -> QueriedPair:
        """The sentences, and what the projectors run on."""
        gold = read_gold_pair(self.source, self.target, self.language)
        return QueriedPair(gold, lowercase_type(AUTO, gold.entities))


def gold_sets(folder: Path, prefix: str = "") -> list[GoldSet]:
    """The gold sets of a folder whose name begins with `prefix`, sorted.

    Raises:
        UserError: there is none.
    """
    found = []
    for source in sorted(folder.glob(f"{prefix}*.{SOURCE}.conll")):
        name = source.name.removesuffix(f".{SOURCE}.conll")
        targets = {
            file.name.removeprefix(f"{name}.").removesuffix(".conll"): file for file in folder.glob(f"{name}.*.conll")
        }
        found += [GoldSet(name, x, source, file) for x, file in sorted(targets.items()) if x != SOURCE]
    if not found:
        problem = f"holds no gold projection set {prefix}*"
        remedy = f"give the folder of NAME.{SOURCE}.conll and NAME.LANGUAGE.conll with --projection"
        raise UserError(problem, file=folder, key="--projection", remedy=remedy)
    return found


@dataclass
class Side:
    """What one projector did on one or more sets.

    Attributes:
        counts: correct, predicted and gold entities of each sentence, int64 [sentences, 1, 3].
        pairs: pairs that it ran on.
        seconds: that it took.
    """

    counts: np.ndarray
    pairs: int
    seconds: float

    @property
    def f1(self) -> float:
        """In percent."""
        correct, predicted, gold = self.counts.sum(axis=(0, 1)).tolist()
        return 200 * correct / max(1, predicted + gold)


def measure(sets: Sequence[GoldSet], aligners: Sequence[str], encoder: str, kept: Kept) -> dict[str, Any]:
    """Measure all projectors on all sets, on one core.

    Args:
        sets: the gold.
        aligners: folders of projectors, one for each seed.
        encoder: of the peers.
        kept: measurements of a stopped command.

    Returns:
        `projection`: `{SET: {LANGUAGE: row}}`; `projection_all`: the row of all sets together; `pairs_per_second`: of each side.
        A row has `f1`, `sd`, `seeds` and the gains `over_simalign` (its best matching) and `over_awesome`.
    """
    seeds = [f"seed {n}" for n in range(1, len(aligners) + 1)]
    projectors: dict[str, _Ours | _Peer] = dict(zip(seeds, map(_Ours, aligners), strict=True))
    projectors |= {name: _Peer(name, encoder) for name in (*SIMALIGN, AWESOME)}
    together: dict[str, list[Side]] = {name: [] for name in projectors}
    rows: dict[str, dict[str, Any]] = {}
    with _one_core():
        for gold in sets:
            sides = _measure_set(gold, projectors, kept)
            for name, side in sides.items():
                together[name].append(side)
            rows.setdefault(gold.name, {})[gold.language] = row = _row(sides, seeds)
            print(f"{gold.name} {gold.language}: {row}", flush=True)
    merged = {
        name: Side(np.concatenate([s.counts for s in own]), sum(s.pairs for s in own), sum(s.seconds for s in own))
        for name, own in together.items()
    }
    speeds = {name: round(side.pairs / side.seconds, 1) for name, side in merged.items()}
    all_row = _row(merged, seeds)
    print(f"all sets: {all_row}; pairs/s {speeds}", flush=True)
    return {"projection": rows, "projection_all": all_row, "pairs_per_second": speeds}


def _measure_set(gold: GoldSet, projectors: Mapping[str, _Ours | _Peer], kept: Kept) -> dict[str, Side]:
    pair, files = gold.read(), [hash_file(gold.source), hash_file(gold.target)]
    sides = {}
    for name, projector in projectors.items():
        inputs = {"projector": projector.identity, "gold": files, "language": gold.language}
        value = kept.get(inputs, partial(projector.measure, pair))
        sides[name] = side = Side(np.array(value["counts"]).reshape(-1, 1, 3), value["pairs"], value["seconds"])
        print(
            f"{gold.name} {gold.language} {name}: F1 {side.f1:.2f}, {side.pairs / side.seconds:.1f} pairs/s",
            flush=True,
        )
    return sides


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (0 for one seed) and the list of F1 by seed, rounded to two decimals."""
    seeds = [round(value, 2) for value in values]
    sd = round(statistics.stdev(seeds), 2) if len(seeds) > 1 else 0.0
    return {"f1": round(statistics.fmean(seeds), 2), "sd": sd, "seeds": seeds}


class _Ours:
    """A projector of the package."""

    def __init__(self, folder: str):
        if not Path(folder).is_dir():
            raise UserError("no such folder", file=folder, key="--aligner", remedy="give the folder of a projector")
        self.folder, self.identity = folder, hash_folder(folder, ("**/*",))

    def measure(self, pair: QueriedPair) -> dict[str, Any]:
        projector = Projector.load(self.folder)
        queried, texts = pair.queried, [target.text for target in pair.queried.targets]
        projector.project_entities(queried.sources[:WARM], queried.entities[:WARM], texts[:WARM], queried.language)
        began = time.perf_counter()
        votes = projector.project_entities(queried.sources, queried.entities, texts, queried.language)
        return _measured(pair, votes, time.perf_counter() - began)


class _Peer:
    """A word aligner in an environment of its own."""

    def __init__(self, name: str, encoder: str):
        self.name, self.encoder = name, encoder_folder(encoder)
        self.identity = [*PEERS[name][1], PEERS[name][2], hash_folder(self.encoder), LAYER]

    def measure(self, pair: QueriedPair) -> dict[str, Any]:
        python = environment(PEERS[self.name][0], PEERS[self.name][1])
        votes, seconds = peer(self.name, python, self.encoder, LAYER, pair.queried)
        return _measured(pair, by_query(pair.queried, votes), seconds)


def _measured(pair: QueriedPair, votes: list, seconds: float) -> dict[str, Any]:
    counts = sentence_counts(pair.gold, pair.tags(votes))[1].sum(axis=1)
    return {"counts": counts.tolist(), "pairs": len(votes), "seconds": seconds}


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process and its children on one core, with one thread."""
    import torch

    cores, threads, variable = os.sched_getaffinity(0), torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    os.sched_setaffinity(0, [min(cores)])
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
        if variable is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = variable


def _row(sides: dict[str, Side], seeds: Sequence[str]) -> dict[str, Any]:
    """F1 of the seeds, and the gains of their mean over the peers."""
    best = max(SIMALIGN, key=lambda name: sides[name].f1)
    gains = {"over_simalign": _gain(sides, seeds, best), "over_awesome": _gain(sides, seeds, AWESOME)}
    return {**spread([sides[name].f1 for name in seeds]), **gains}


def _gain(sides: dict[str, Side], seeds: Sequence[str], other: str) -> dict[str, float]:
    """The gain of the mean of the seeds, with the interval of a paired bootstrap over sentences."""
    draws = {name: resample(["all types"], sides[name].counts) for name in (*seeds, other)}
    low, high = interval(np.subtract(mean_draws([draws[name] for name in seeds])[ALL], draws[other][ALL]).tolist())
    mean = statistics.fmean(sides[name].f1 for name in seeds) - sides[other].f1
    return {"mean": round(mean, 2), "low": low, "high": high}
