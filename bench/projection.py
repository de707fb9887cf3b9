"""Projectors compared on one gold file pair: same metric, same encoder where they take one, paired bootstrap, speed.

    python -m bench.projection --aligner OUT/aligner/.../model --source gold.en.conll --target de=gold.de.conll \\
        --target es=gold.es.conll --peers --json projection.json --details details.json

Source and target are line-parallel CoNLL files with entities on both sides, such as Europarl-NER. Projectors are asked about
the pairs that have an entity; loading is not in the seconds. `--json`: `{projector: {language: {precision, recall, f1, low,
high, pairs_per_second}}}`, percent, `low` and `high` the ends of the 95% interval of F1 over sentences. `--details`: the
ceiling, F1 against coverage, reliability, and differences with their intervals; `bench/plot_projection.py` draws it. `--peers`
also runs SimAlign and AWESOME-align from PyPI, in environments of their own under build/peers.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peer_env import environment
from bench.projection_scores import Asked, ceiling, curve, score
from bench.projectors import FUSIONS, PEERS, Exact, Votes, by_query, peer
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.similarity import Similarity
from xner_ray.encoders.load import encoder_folder
from xner_ray.evaluation.bootstrap import ALL, gain, resample
from xner_ray.evaluation.project_files import AUTO, Projects, kind_of_adjectives, read_gold_pair


def main() -> None:
    asked = _arguments()
    ours = _ours(asked)
    python = {}
    if asked.peers:
        python = {name: environment(kind, needs) for name, (kind, needs, _) in PEERS.items()}
    results: dict[str, dict[str, Any]] = {}
    details: dict[str, Any] = {"against": asked.against, "lowercase": asked.lowercase, "ceiling": {}, "projectors": {}}
    for language, _, file in (target.partition("=") for target in asked.target):
        whole = read_gold_pair(asked.source, file, language)
        pair = Asked(whole, kind_of_adjectives(asked.lowercase, whole.entities))
        found = {name: _timed(projector, pair) for name, projector in ours.items()}
        for name, interpreter in python.items():
            found[name] = peer(name, interpreter, encoder_folder(asked.encoder), asked.layer, pair.some)
        votes = {name: by_query(pair.some, rows) for name, (rows, _) in found.items()}
        seconds = {name: spent for name, (_, spent) in found.items()}
        for name, (fuse, parts) in FUSIONS.items():
            if all(part in votes for part in parts):
                votes[name] = fuse(*(votes[part] for part in parts))
                seconds[name] = sum(seconds[part] for part in parts)
        details["ceiling"][language] = _told_ceiling(pair, language)
        told = _compare(pair, votes, asked.against)
        for name, row in told.items():
            row["pairs_per_second"] = round(len(pair.some.sources) / seconds[name], 1)
            details["projectors"].setdefault(name, {})[language] = row
            results.setdefault(name, {})[language] = {k: row[k] for k in KEYS}
            _tell(name, language, row)
    for path, content in ((asked.json, results), (asked.details, details)):
        if path:
            path.write_text(json.dumps(content, indent=1) + "\n")


WARM = 16  # pairs that are not timed
KEYS = ("precision", "recall", "f1", "low", "high", "pairs_per_second")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aligner", help="folder of a trained aligner")
    parser.add_argument("--encoder", default="embedded", help="of the untrained similarity and the peers")
    parser.add_argument(
        "--layer", type=int, default=7, help="whose states are compared, of the similarity and the peers"
    )
    parser.add_argument("--source", required=True, help="English CoNLL file")
    parser.add_argument("--target", required=True, action="append", metavar="LANGUAGE=FILE")
    parser.add_argument("--lowercase", default=AUTO, help="as in `xner project`, for all projectors")
    parser.add_argument("--peers", action="store_true", help="also SimAlign and AWESOME-align")
    parser.add_argument("--against", default="similarity", help="the projector that all others' gains are over")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--details", type=Path)
    return parser.parse_args()


def _ours(asked: argparse.Namespace) -> dict[str, Projects]:
    """Exact match, the untrained similarity, the aligner alone, and the projector with and without exact matching."""
    ours: dict[str, Projects] = {"exact": Exact(), "similarity": Similarity.load(asked.encoder, asked.layer)}
    if asked.aligner:
        whole = Projector.load(asked.aligner)
        no_exact_match = replace(whole.decoding, exact_match_score=0.0)
        alone = replace(no_exact_match, similarity_fallback_score=0.0, one_to_one=False)
        ours["aligner"] = Projector(whole.engine, whole.tokenizer, alone)
        ours["projector without exact match"] = Projector(
            whole.engine, whole.tokenizer, no_exact_match, whole.similarity
        )
        ours["projector"] = whole
    return ours


def _timed(projector: Projects, pair: Asked) -> tuple[Votes, float]:
    some, texts = pair.some, [target.text for target in pair.some.targets]
    projector.project_entities(some.sources[:WARM], some.entities[:WARM], texts[:WARM], some.language)
    began = time.perf_counter()
    found = projector.project_entities(some.sources, some.entities, texts, some.language)
    return found, time.perf_counter() - began


def _compare(pair: Asked, votes: dict[str, Votes], against: str) -> dict[str, dict[str, Any]]:
    """Scores of all projectors on the same resamples, and what each gains over one of them."""
    scored = {name: score(pair, rows) for name, rows in votes.items()}
    draws = {name: resample(*counts) for name, (_, counts) in scored.items()}
    told = {}
    for name, (row, _) in scored.items():
        if against in scored:
            bare = [{"f1": scored[n][0]["f1"], "types": {}} for n in (against, name)]
            row["gain"] = gain(*bare, ({ALL: draws[against][ALL]}, {ALL: draws[name][ALL]}))
        told[name] = row | curve(pair, votes[name])
    return told


def _told_ceiling(pair: Asked, language: str) -> dict[str, Any]:
    found = ceiling(pair)
    for name, row in found.items():
        print(f"{language}  {name:38} P {row['precision']:.1f}  R {row['recall']:.1f}  F1 {row['f1']:.1f}")
    return found


def _tell(name: str, language: str, row: dict[str, Any]) -> None:
    more = ""
    if "gain" in row:
        low, high = row["gain"]["f1_interval"]
        more = f"{row['gain']['f1']:+.1f} [{low:+.1f}, {high:+.1f}]"
    covered = "  ".join(f"{100 * p['coverage']:.0f}%: {p['f1']:.1f}" for p in row["curve"])
    print(
        f"{language}  {name:38} P {row['precision']:.1f}  R {row['recall']:.1f}  F1 {row['f1']:.1f}"
        f" [{row['low']:.1f}, {row['high']:.1f}]  {more}  {row['pairs_per_second']:.1f} pairs/s\n"
        f"    F1 at coverage {covered}",
        flush=True,
    )


if __name__ == "__main__":
    main()
