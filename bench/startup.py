"""Measures the time of `xner --help`, of `xner tag` with torch, and of `xner tag` with an ONNX export.

    python -m bench.startup --model OUT/student/.../model --json OUT

Figures are wall seconds of whole processes. The first round fills the file cache and is not counted. The JSON is
`{case: {seconds, median, aim, imports}}`. `imports` lists the slow modules that the process has loaded at its end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.rounds import ROOT, interleaved, machine, pin, write_json

AIMS = {"help": 0.5, "tag": 8.0, "tag_onnx": 2.0}  # seconds
HEAVY = ("torch", "transformers", "ray", "onnxruntime", "pyarrow", "numpy", "pydantic")
SENTENCE = "Angela Merkel besucht Paris."
_MAIN = "from xner_ray.cli.main import main; main()"
_PRINT_IMPORTS = f"""
import sys
from xner_ray.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print(*(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a trained tagger")
    parser.add_argument("--language", default="de")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", help="0,1: the only cores that are used; default: all")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cores = pin(args.cores)
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "onnx"
        run(["export-model", str(args.model), "--out", str(exported)])
        results: dict[str, Any] = measure(commands(args.model, exported, args.language), args.rounds)
    for name, row in results.items():
        late = "" if row["median"] < row["aim"] else "  LATE"
        print(f"{name:10} {row['median']:6.2f} s (aim {row['aim']} s){late}  {' '.join(row['imports'])}")
    write_json(args.json, {**results, "machine": machine(cores)})


def commands(model: Path, exported: Path, language: str) -> dict[str, list[str]]:
    tag = ["tag", "--language", language, "--model"]
    return {
        "help": ["--help"],
        "tag": [*tag, str(model), SENTENCE],
        "tag_onnx": [*tag, str(exported), SENTENCE],
    }


def measure(cases: dict[str, list[str]], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds and imports of each command."""
    seconds = interleaved({name: lambda c=c: run(c) for name, c in cases.items()}, rounds + 1)
    return {
        name: {
            "seconds": [round(s, 3) for s in seconds[name][1:]],
            "median": round(statistics.median(seconds[name][1:]), 3),
            "aim": AIMS[name],
            "imports": imports(command),
        }
        for name, command in cases.items()
    }


def run(arguments: list[str]) -> float:
    """Run a command; returns its wall seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _MAIN, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - began


def imports(arguments: list[str]) -> list[str]:
    command = [sys.executable, "-c", _PRINT_IMPORTS, *arguments]
    stderr = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stderr
    return stderr.splitlines()[-1].split()


if __name__ == "__main__":
    main()
