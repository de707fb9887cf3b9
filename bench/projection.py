"""Compares projectors on gold file pairs: F1 with a paired bootstrap, and speed.

    python -m bench.projection --aligner OUT/aligner/.../model --source gold.en.conll --target de=gold.de.conll \\
        --target es=gold.es.conll --peers --json projection.json --details details.json

Source and target are parallel CoNLL files with entities on both sides, such as Europarl-NER.
Projectors run only on the pairs with an entity. Loading is not timed. `--json` writes
`{projector: {language: {precision, recall, f1, low, high, ece, pairs_per_second}}}` in percent, `ece` (expected calibration
error) from 0 to 1; `low` and `high` are the ends of the 95% interval of F1 over sentences. `--details` writes the ceiling, F1
by coverage, reliability, and differences with their intervals; `bench/plot_projection.py` plots them. `--peers` also runs
SimAlign and AWESOME-align from PyPI, in their own environments under build/peers.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peer_env import environment
from bench.projection_scores import QueriedPair, ceiling, curve, score
from bench.projectors import PEERS, Exact, Votes, agreement, by_query, peer
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.similarity import Similarity
from xner_ray.encoders.load import encoder_folder
from xner_ray.evaluation.bootstrap import ALL, gain, resample
from xner_ray.evaluation.project_files import AUTO, EntityProjector, lowercase_type, read_gold_pair


def main() -> None:
    args = _arguments()
    projectors = _projectors(args)
    python = {}
    if args.peers:
        python = {name: environment(env_name, requirements) for name, (env_name, requirements, _) in PEERS.items()}
    results: dict[str, dict[str, Any]] = {}
    details: dict[str, Any] = {"against": args.against, "lowercase": args.lowercase, "ceiling": {}, "projectors": {}}
    for language, _, file in (target.partition("=") for target in args.target):
        gold_pair = read_gold_pair(args.source, file, language)
        pair = QueriedPair(gold_pair, lowercase_type(args.lowercase, gold_pair.entities))
        answers = {name: _timed(projector, pair) for name, projector in projectors.items()}
        for name, interpreter in python.items():
            answers[name] = peer(name, interpreter, encoder_folder(args.encoder), args.layer, pair.queried)
        votes = {name: by_query(pair.queried, candidates) for name, (candidates, _) in answers.items()}
        seconds = {name: elapsed for name, (_, elapsed) in answers.items()}
        if "aligner" in votes:
            votes[AGREEMENT] = agreement(votes["aligner"], votes["similarity"])
            seconds[AGREEMENT] = seconds["aligner"] + seconds["similarity"]
        details["ceiling"][language] = _ceiling(pair, language)
        rows = _compare(pair, votes, args.against)
        for name, row in rows.items():
            row["pairs_per_second"] = round(len(pair.queried.sources) / seconds[name], 1)
            details["projectors"].setdefault(name, {})[language] = row
            results.setdefault(name, {})[language] = {k: row[k] for k in KEYS}
            _print_row(name, language, row)
    for path, content in ((args.json, results), (args.details, details)):
        if path:
            path.write_text(json.dumps(content, indent=1) + "\n")


AGREEMENT = "aligner and similarity agree"
WARM = 16  # pairs of the warm-up, not timed
KEYS = ("precision", "recall", "f1", "low", "high", "ece", "pairs_per_second")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aligner", help="folder of a trained aligner")
    parser.add_argument("--encoder", default="embedded", help="encoder of the untrained similarity and the peers")
    parser.add_argument("--layer", type=int, default=7, help="encoder layer of the similarity and the peers")
    parser.add_argument("--source", required=True, help="CoNLL file of the source language")
    parser.add_argument("--target", required=True, action="append", metavar="LANGUAGE=FILE")
    parser.add_argument("--lowercase", default=AUTO, help="as in `xner project`, for all projectors")
    parser.add_argument("--peers", action="store_true", help="also SimAlign and AWESOME-align")
    parser.add_argument("--against", default="similarity", help="the projector that all gains are measured against")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--details", type=Path)
    return parser.parse_args()


def _projectors(args: argparse.Namespace) -> dict[str, EntityProjector]:
    """Exact match, the untrained similarity, the aligner alone, and the projector with and without exact matching."""
    projectors: dict[str, EntityProjector] = {
        "exact": Exact(),
        "similarity": Similarity.load(args.encoder, args.layer),
    }
    if args.aligner:
        projector = Projector.load(args.aligner)
        no_exact_match = replace(projector.decoding, exact_match_score=0.0)
        maps = {"similarity_weights": projector.similarity_weights, "score_maps": projector.score_maps}
        alone = replace(no_exact_match, similarity_weight=0.0, one_to_one=False)
        projectors["aligner"] = Projector(projector.engine, projector.tokenizer, alone)
        projectors["projector without exact match"] = Projector(
            projector.engine, projector.tokenizer, no_exact_match, projector.similarity, **maps
        )
        projectors["projector"] = projector
    return projectors


def _timed(projector: EntityProjector, pair: QueriedPair) -> tuple[Votes, float]:
    queried, texts = pair.queried, [target.text for target in pair.queried.targets]
    projector.project_entities(queried.sources[:WARM], queried.entities[:WARM], texts[:WARM], queried.language)
    began = time.perf_counter()
    votes = projector.project_entities(queried.sources, queried.entities, texts, queried.language)
    return votes, time.perf_counter() - began


def _compare(pair: QueriedPair, votes: dict[str, Votes], against: str) -> dict[str, dict[str, Any]]:
    """Scores of all projectors on the same resamples, and their gains over the projector `against`."""
    scored = {name: score(pair, candidates) for name, candidates in votes.items()}
    resamples = {name: resample(*counts) for name, (_, counts) in scored.items()}
    rows = {}
    for name, (row, _) in scored.items():
        if against in scored:
            bare = [{"f1": scored[n][0]["f1"], "types": {}} for n in (against, name)]
            row["gain"] = gain(*bare, ({ALL: resamples[against][ALL]}, {ALL: resamples[name][ALL]}))
        rows[name] = row | curve(pair, votes[name])
    return rows


def _ceiling(pair: QueriedPair, language: str) -> dict[str, Any]:
    rows = ceiling(pair)
    for name, row in rows.items():
        print(f"{language}  {name:38} P {row['precision']:.1f}  R {row['recall']:.1f}  F1 {row['f1']:.1f}")
    return rows


def _points(error: float | None) -> str:
    return "-" if error is None else f"{100 * error:.1f}"


def _print_row(name: str, language: str, row: dict[str, Any]) -> None:
    more = ""
    if "gain" in row:
        low, high = row["gain"]["f1_interval"]
        more = f"{row['gain']['f1']:+.1f} [{low:+.1f}, {high:+.1f}]"
    covered = "  ".join(f"{100 * p['coverage']:.0f}%: {p['f1']:.1f}" for p in row["curve"])
    print(
        f"{language}  {name:38} P {row['precision']:.1f}  R {row['recall']:.1f}  F1 {row['f1']:.1f}"
        f" [{row['low']:.1f}, {row['high']:.1f}]  {more}  ECE {_points(row['ece'])}  {row['pairs_per_second']:.1f} pairs/s\n"
        f"    F1 at coverage {covered}",
        flush=True,
    )


if __name__ == "__main__":
    main()
