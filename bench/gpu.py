"""Measures the inference engine and the training loop on a GPU, without Ray, transformers or trained weights.

    python -m bench.gpu_pack --text DIR --out build/gpu-pack          on a machine with the package, once
    PYTHONPATH=. python -m bench.gpu --pack build/gpu-pack --json OUT --table OUT.md      on the GPU machine
    PYTHONPATH=. python -m bench.gpu --pack build/gpu-pack --device cpu --small           a short test on a CPU

The GPU machine needs torch, tokenizers, numpy and pyarrow. For each shape and precision, the JSON has these sides:

    limit     forward passes over prepared tensors on the device, at the best token budget
    engine    token ids on the host to probabilities on the host
    whole     text to Arrow columns, in one process
    pipeline  batches of text in order, tokenized, padded and run one after another, at the best batch size

Each side has pairs/s, useful TFLOP/s, their share of the TFLOP/s of a large matrix product, and `busy`, the share of time in
which the device runs a forward pass. `stages` has the seconds of the parts of `whole`. `training` compares the training loop
with forward and backward passes over prepared tensors.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from bench.rounds import interleaved, machine, rate, ratio, write_json

BUDGETS, BATCHES = (4096, 8192, 16384, 32768, 65536), (8, 16, 32, 64, 128, 256)
SMALL_BUDGETS, SMALL_BATCHES = (512, 2048), (4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True, help="folder that gpu_pack.py wrote")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shapes", default="xlm-r-large,embedded")
    parser.add_argument("--precisions", default="bf16,fp16")
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tiny shape and few pairs, for a test")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="write the tables as Markdown")
    args = parser.parse_args()
    if args.small:
        args.shapes, args.precisions, args.pairs = "small", "fp32", min(args.pairs, 60)
    results = measure(args)
    markdown = tables(results)
    print(markdown)
    write_json(args.json, results)
    if args.table:
        args.table.write_text(markdown, encoding="utf-8")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from bench.gpu_sides import Sides, Text, matmul_tflops
    from bench.gpu_training import compare

    text = Text.read(args.pack, args.pairs)
    results: dict[str, Any] = {"machine": machine([]), "pairs": text.table.num_rows, "runs": []}
    budgets, batches = (SMALL_BUDGETS, SMALL_BATCHES) if args.small else (BUDGETS, BATCHES)
    for shape in args.shapes.split(","):
        for precision in args.precisions.split(","):
            peak = matmul_tflops(args.device, precision, 512 if args.small else 8192)
            sides = Sides(text, shape, precision, args.device)
            best = sides.choose(budgets, batches)
            seconds = interleaved(
                {"limit": sides.limit, "engine": sides.engine, "whole": sides.whole, "pipeline": sides.pipeline},
                args.rounds,
            )
            results["runs"].append(report(shape, precision, peak, sides, seconds) | best)
            del sides
            results["runs"][-1]["training"] = compare(shape, precision, args.device, text, args.rounds, args.small)
    return results


def report(shape: str, precision: str, peak: float, sides: Any, seconds: dict[str, list[float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"shape": shape, "precision": precision, "matmul_tflops": round(peak, 1)}
    for name, s in seconds.items():
        tflops = sides.flops / statistics.median(s) / 1e12
        row[name] = {
            "pairs_per_second": rate(sides.text.table.num_rows, s),
            "tflops": round(tflops, 2),
            "share_of_matmul": round(tflops / peak, 3),
            "seconds": [round(x, 4) for x in s],
        }
        if name in sides.busy:
            row[name]["busy"] = round(statistics.median(sides.busy[name]), 3)
    row["ratios"] = {
        "engine/limit": ratio(seconds["engine"], seconds["limit"]),
        "whole/limit": ratio(seconds["whole"], seconds["limit"]),
        "engine/pipeline": ratio(seconds["engine"], seconds["pipeline"]),
        "whole/pipeline": ratio(seconds["whole"], seconds["pipeline"]),
    }
    row["stages"] = {k: round(statistics.median(v), 4) for k, v in sides.stages.items()}
    return row | {
        "tokens": sides.tokens,
        "padding": round(sides.padding, 4),
        "queries_a_pair": round(sides.queries, 2),
    }


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine_info = results["machine"]
    lines = [
        f"{machine_info['gpu'] or machine_info['cpu']}, torch {machine_info['torch']}, {results['pairs']:,} pairs",
        "",
    ]
    lines += [
        "| shape | precision | side | pairs/s | TFLOP/s | of a matmul | device busy |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for run in results["runs"]:
        for side in ("limit", "engine", "whole", "pipeline"):
            row = run[side]
            busy = f"{row['busy']:.0%}" if "busy" in row else ""
            lines.append(
                f"| {run['shape']} | {run['precision']} | {side} | {row['pairs_per_second']:,.0f} | {row['tflops']:.1f}"
                f" | {row['share_of_matmul']:.0%} | {busy} |"
            )
    lines += ["", "| shape | precision | ratios | seconds by stage | training, tokens/s |", "|---|---|---|---|---|"]
    for run in results["runs"]:
        ratios, stages = (", ".join(f"{k} {v}" for k, v in run[key].items()) for key in ("ratios", "stages"))
        training = run["training"]
        trained = f"{training['loop']['tokens_per_second']:,.0f}, {training['ratio']} of bare"
        lines.append(f"| {run['shape']} | {run['precision']} | {ratios} | {stages} | {trained} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
