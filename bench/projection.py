"""Projection F1 on gold file pairs: the untrained similarity, a trained aligner alone, and the projector of both.

    python bench/projection.py --aligner OUT/aligner/.../model --source gold.en.conll --target de=gold.de.conll --json OUT

Source and target are line-parallel CoNLL files with entities on both sides, such as Europarl-NER. The JSON is
`{projector: {language: {precision, recall, f1, pairs_per_second}}}`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from xner_ray.align.decode import Decoding
from xner_ray.align.files import project_files
from xner_ray.align.projector import Projector
from xner_ray.align.similarity import Similarity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aligner", help="folder of a trained aligner")
    parser.add_argument("--encoder", default="embedded", help="encoder of the untrained start")
    parser.add_argument("--layer", type=int, default=7)
    parser.add_argument("--source", required=True, help="English CoNLL file")
    parser.add_argument("--target", required=True, action="append", metavar="LANGUAGE=FILE")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    projectors: dict[str, Similarity | Projector] = {"similarity": Similarity.load(asked.encoder, asked.layer)}
    if asked.aligner:
        both = Projector.load(asked.aligner)
        projectors |= {"aligner": Projector(both.engine, both.tokeniser, Decoding()), "projector": both}
    results: dict[str, dict[str, dict[str, float]]] = {name: {} for name in projectors}
    for target in asked.target:
        language, _, file = target.partition("=")
        for name, projector in projectors.items():
            began = time.perf_counter()
            found = project_files(projector, asked.source, file, language)
            seconds = time.perf_counter() - began
            row = {key: found[key] for key in ("precision", "recall", "f1")}
            results[name][language] = row | {"pairs_per_second": round(found["counts"]["sentences"] / seconds, 1)}
            print(
                f"{name:12} {language}  P {row['precision']:.2f}  R {row['recall']:.2f}  F1 {row['f1']:.2f}",
                flush=True,
            )
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
