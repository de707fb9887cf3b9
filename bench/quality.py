"""Writes bench/results/quality.json: taggers, calibration and projection of one config, with F1 and errors in points.

    python -m bench.quality configs/real.yaml data=DIR out=out/real

It runs `xner run` and `bench.aligners` with the same config and keys, which skip what is done. Then it scores the students with
`transformers.pipeline`, and the projectors of all seeds beside SimAlign and AWESOME-align on DIR/projection. Each measurement is
kept in OUT/quality, so a stopped command continues. The file has these parts:

    sets            {SET: {"zero_transfer": {"f1"}, "student": {"f1", "sd", "seeds"}, "text": {"f1"}, "pipeline": {"f1"}}}
    calibration     {"source": ECE, LANGUAGE: ECE, SET: ECE}: teacher on dev; student on the language's first set, and on each set
    projection      {SET: {LANGUAGE: {"f1", "sd", "seeds", "over_simalign": {"mean", "low", "high"}, "over_awesome": the same}}}
    projection_all  such a row of all sets together
    pairs_per_second  of each side on one core, all sets together

`text` is the student as `xner tag` decodes raw text. Raw text is the gold's words, detokenized; its spans are compared by
characters.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from bench.aligners import seed_link
from bench.kept import Kept
from bench.projection_quality import gold_sets, measure, spread
from xner_ray.cli.console import report_user_errors
from xner_ray.config import GoldConfig
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.evaluation.text_scores import pipeline_scores
from xner_ray.pipeline.context import model_identity
from xner_ray.results.run_results import RERUN, RunResults
from xner_ray.storage.atomic import write_json
from xner_ray.storage.fingerprint import hash_file
from xner_ray.text.conll import read_gold_file

OUT = Path("bench/results/quality.json")


def main() -> None:
    args = _arguments()
    with report_user_errors(resumable=True):
        config = load_config(args.config, args.overrides)
        kept = Kept(Path(config.out) / "quality")
        projection = args.projection or Path(config.data_dir or "", "projection")
        sets = gold_sets(projection, args.only or "")
        command = [str(args.config), *args.overrides]
        if not args.finished:
            _run("xner_ray.cli", "run", *command)
        results = quality_of_run(RunResults.open(config.out), kept)
        if args.only is None:
            write_json(args.out, results)
        aligners = args.aligner or [str(seed_link(config.out, seed)) for seed in args.seeds.split(",")]
        if not (args.aligner or args.finished):
            _run("bench.aligners", *command, "--seeds", args.seeds, "--projection", str(projection))
        results |= measure(sets, aligners, args.encoder, kept)
        if args.only is None:
            write_json(args.out, results)
            print(f"written: {args.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON file")
    parser.add_argument(
        "--finished", action="store_true", help="train nothing: read the finished run and its aligners"
    )
    parser.add_argument("--seeds", default="1,2,3", help="of the aligners, comma between")
    parser.add_argument("--aligner", action="append", help="folder of a projector instead; once for each seed")
    parser.add_argument("--projection", type=Path, help="folder of the gold projection sets; default: DATA/projection")
    parser.add_argument("--encoder", default="embedded", help="of SimAlign and AWESOME-align")
    parser.add_argument("--only", help="measure only projection sets whose name begins with this, and write no file")
    return parser.parse_args()


def _run(module: str, *arguments: str) -> None:
    """Run a command in a process of its own, so that no process of Ray runs beside the measurements."""
    code = subprocess.run([sys.executable, "-m", module, *arguments]).returncode
    if code:
        raise SystemExit(code)


def quality_of_run(run: RunResults, kept: Kept) -> dict[str, Any]:
    """The parts `sets` and `calibration` of a finished run.

    Raises:
        UserError: it has no dev set, or an older version wrote its results.
    """
    if not run.results.get("source_sets"):
        raise UserError("has no scores of the teacher", file=run.out, key="dev", remedy=f"name a dev set, and {RERUN}")
    gold_files = {gold.name or Path(gold.path).name: gold for gold in run.config.evaluation}
    sets: dict[str, Any] = {}
    source = next(iter(run.results["source_sets"].values()))["ece"]
    calibration, by_set = {"source": source}, {}
    for name, row in run.results["sets"].items():
        if "by_seed" not in row:
            raise UserError("has no F1 of each seed", file=run.out / "results.json", remedy=RERUN)
        gold = gold_files[name.removesuffix(f" ({row['encoder']})")]
        path = run.config.fill(gold.path)
        runs = []
        for folder in _students(run, row):
            inputs = {"pipeline": model_identity(folder), "gold": [hash_file(path), gold.model_dump(mode="json")]}
            runs.append(kept.get(inputs, partial(_score_pipeline, folder, gold, path)))
        sets[name] = {
            "zero_transfer": {"f1": row["zero_transfer"]["f1"]},
            "student": spread([one["student"] for one in row["by_seed"]]),
            "text": {"f1": row["student"]["text"]["f1"]},
            "pipeline": {"f1": round(statistics.fmean(one["f1"] for one in runs), 2)},
        }
        calibration.setdefault(row["language"], row["student"]["ece"])
        by_set[name] = row["student"]["ece"]
        print(f"{name}: {sets[name]}; calibration error {by_set[name]}", flush=True)
    return {"sets": sets, "calibration": calibration | by_set}


def _score_pipeline(folder: Path, gold: GoldConfig, path: str) -> dict[str, Any]:
    return pipeline_scores(folder, read_gold_file(gold, path), gold.types)


def _students(run: RunResults, row: dict[str, Any]) -> list[Path]:
    """The folders of the students of a row of `sets`, one for each seed."""
    student, name = run.config.student, row["language"]
    name += f"-{Path(row['encoder']).name}" if isinstance(student.encoder, list) else ""
    names = [f"{name}-{seed}" if len(student.seeds) > 1 else name for seed in row["seeds"]]
    folders = {s.name: s.folder for s in run.students}
    return [folders[x] for x in names]


if __name__ == "__main__":
    main()
