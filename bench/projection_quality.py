"""F1 of projection on all gold projection sets of a folder, beside SimAlign and AWESOME-align with the same encoder.

    python -m bench.projection_quality DATA/projection --aligner SEED1 --aligner SEED2 --aligner SEED3

The folder has files `SET.en.conll` and `SET.LANGUAGE.conll` with entities on both sides. Each aligner is the folder of a
projector, one for each seed. All sides run on one core, on the pairs with an entity, and their rates are measured in this run.
The command writes the part `projection` of bench/results/quality.json after each set, in points: `{SET: {LANGUAGE: {"f1",
"sd", "seeds", "over_simalign": {"mean", "low", "high"}}}}`. `over_simalign` compares the mean of the seeds with SimAlign's
best matching on that set, by a paired bootstrap over sentences. The last lines compare all sets together.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.peer_env import environment
from bench.projection_scores import QueriedPair
from bench.projectors import PEERS, Votes, by_query, peer
from xner_ray.alignment.projector import Projector
from xner_ray.encoders.load import encoder_folder
from xner_ray.evaluation.bootstrap import ALL, interval, mean_draws, resample, sentence_counts
from xner_ray.evaluation.project_files import AUTO, lowercase_type, read_gold_pair

LAYER = 7
OUT = Path("bench/results/quality.json")
SIMALIGN = ("simalign inter", "simalign itermax")  # mwmf is the weakest matching on Europarl, and a fourth as fast
AWESOME = "awesome-align"


def main() -> None:
    args = _arguments()
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    projectors = [Projector.load(folder) for folder in args.aligner]
    peers = {name: environment(PEERS[name][0], PEERS[name][1]) for name in (*SIMALIGN, AWESOME)}
    together: dict[str, list[np.ndarray]] = {}
    for name, language, pair in _pairs(args.data, args.only):
        counts = {}
        for number, projector in enumerate(projectors):
            counts[f"seed {number}"] = _counts(pair, _timed(projector, pair, f"{name} {language} seed {number}"))
        for peer_name, python in peers.items():
            votes, seconds = peer(peer_name, python, encoder_folder(args.encoder), LAYER, pair.queried)
            print(f"{name} {language} {peer_name}: {len(votes) / seconds:.1f} pairs/s", flush=True)
            counts[peer_name] = _counts(pair, by_query(pair.queried, votes))
        for side, row in counts.items():
            together.setdefault(side, []).append(row)
        row = _row(counts, max(SIMALIGN, key=lambda side: _f1(counts[side])))
        _write(args.out, name, language, row)
        print(f"{name} {language}: {row}; " + ", ".join(f"{p} {_f1(counts[p]):.2f}" for p in peers), flush=True)
    sums = {side: np.concatenate(rows) for side, rows in together.items()}
    for peer_name in peers:
        print(f"all sets, over {peer_name}: {_row(sums, peer_name)['over_simalign']}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the gold projection sets")
    parser.add_argument("--aligner", action="append", required=True, help="folder of a projector; once for each seed")
    parser.add_argument("--encoder", default="embedded", help="encoder of the peers")
    parser.add_argument("--only", default="", help="only sets whose name begins with this")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def _pairs(folder: Path, prefix: str):
    """Name, language and gold of each set."""
    for source in sorted(folder.glob(f"{prefix}*.en.conll")):
        name = source.name.removesuffix(".en.conll")
        for target in sorted(folder.glob(f"{name}.*.conll")):
            language = target.name.split(".")[-2]
            if language != "en":
                gold = read_gold_pair(source, target, language)
                yield name, language, QueriedPair(gold, lowercase_type(AUTO, gold.entities))


def _timed(projector: Projector, pair: QueriedPair, label: str) -> Votes:
    queried, texts = pair.queried, [target.text for target in pair.queried.targets]
    began = time.perf_counter()
    votes = projector.project_entities(queried.sources, queried.entities, texts, queried.language)
    print(f"{label}: {len(votes) / (time.perf_counter() - began):.1f} pairs/s", flush=True)
    return votes


def _counts(pair: QueriedPair, votes: Votes) -> np.ndarray:
    """Correct, predicted and gold entities of each sentence: int64 [sentences, 1, 3]."""
    return sentence_counts(pair.gold, pair.tags(votes))[1].sum(axis=1, keepdims=True)


def _f1(counts: np.ndarray) -> float:
    correct, predicted, gold = counts.sum(axis=(0, 1)).tolist()
    return 200 * correct / max(1, predicted + gold)


def _row(counts: dict[str, np.ndarray], other: str) -> dict[str, Any]:
    """F1 of the seeds, and the gain of their mean over another side."""
    seeds = [side for side in counts if side.startswith("seed ")]
    values = [round(_f1(counts[side]), 2) for side in seeds]
    draws = {side: resample([ALL + " types"], counts[side]) for side in (*seeds, other)}
    gains = np.subtract(mean_draws([draws[side] for side in seeds])[ALL], draws[other][ALL])
    low, high = interval(gains.tolist())
    mean = round(statistics.mean(values) - _f1(counts[other]), 2)
    sd = round(statistics.stdev(values), 2) if len(values) > 1 else 0.0
    over = {"mean": mean, "low": low, "high": high}
    return {"f1": round(statistics.mean(values), 2), "sd": sd, "seeds": values, "over_simalign": over}


def _write(file: Path, name: str, language: str, row: dict[str, Any]) -> None:
    """Set one row in the part `projection`; the other parts stay."""
    content = json.loads(file.read_text()) if file.exists() else {}
    content.setdefault("projection", {}).setdefault(name, {})[language] = row
    file.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
