"""Measures the throughput of `xner label` against bare forward passes, a transformers pipeline, SimAlign and AWESOME-align.

    python -m bench.throughput --pairs 3000 --encoder embedded --device cpu --precision fp32 --text DIR --json OUT
    python -m bench.throughput --quick --json OUT                           ends within five minutes on two cores

All sides have the same distinct pairs, weights and precision. Figures are medians of interleaved rounds. The time runs from the
first batch to the last commit; start-up and the gain of deduplication are reported separately. Keys of the JSON, each with
`pairs_per_second`:

    limit             forward passes over all sentences and all names, at the best token budget
    asked             forward passes over the rows that labeling runs: without names of identical spelling
    xner              the label stage on a Ray that is already started
    pipeline          transformers.pipeline and padded batches, at the best batch size
    pipeline_default  the same at batch size 1, the default of transformers
    align             the projection of xner alone, on one core
    simalign, awesome word alignment by the peers, on one core

Further keys: `ratios`, `padding` (of xner), `shares` (of the cores' time), `startup`, `repeats`, `machine`, `settings`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from bench.rounds import interleaved, machine, pin, rate, ratio, write_json

BUDGETS, BATCHES = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768), (1, 2, 4, 8, 16, 32, 64)
SWEEP_PART = 16  # the sweeps of budgets and batch sizes run one row in 16
PEERS = ("simalign", "awesome")
LAYER = 7  # encoder layer of the peers where the aligner has no similarity
QUICK: dict[str, Any] = {"pairs": 240, "shards": 6, "rounds": 1, "peers": "", "budget": 1024}  # options of --quick
QUICK_BUDGETS, QUICK_BATCHES = (1024, 4096), (8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--encoder", default="embedded", help="embedded | hub id | folder")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", default="fp32", help="auto | fp32 | bf16 | fp16")
    parser.add_argument("--text", type=Path, help="folder of TSV files: id, source, target; default: xner sample")
    parser.add_argument("--language", default="de")
    parser.add_argument("--teacher", help="folder of a trained teacher; default: trained on the sample first")
    parser.add_argument("--aligner", help="folder of a trained aligner; default: trained on the sample first")
    parser.add_argument("--shards", type=int, default=16, help="at least six")
    parser.add_argument("--budget", type=int, default=4096, help="label.max_batch_tokens of xner")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", help="0,1: the only cores that are used; default: all that this process may use")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma between; an empty string for none")
    parser.add_argument("--work", type=Path, default=Path(__file__).parents[1] / "build" / "bench")
    parser.add_argument("--json", type=Path)
    quick = ", ".join(f"--{key} {value or repr('')}" for key, value in QUICK.items())
    parser.add_argument("--quick", action="store_true", help=f"{quick}, fewer sweeps, and models of fewer examples")
    args = parser.parse_args()
    if args.quick:
        vars(args).update(QUICK)
    if args.shards < 6:
        parser.error("--shards: at least six")
    args.cores = pin(args.cores)
    results = measure(args)
    show(results)
    write_json(args.json, results)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from bench import inputs
    from bench.xner_side import XnerSide, warm_ray

    work = args.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    machine_info = machine(args.cores)
    if not (args.teacher and args.aligner):
        args.teacher, args.aligner = inputs.models(work, args.language, args.encoder, args.quick)
    text = inputs.read_text(args.text, args.language, args.pairs, work)
    inputs.write_pairs(text.pairs, work / "pairs.tsv")
    with warm_ray(args.cores, args.device, work):
        xner = XnerSide(work, args.language, args.teacher, args.aligner, args.shards, args.precision, args.budget)
        bare = Bare(args, xner.tables())
        best = bare.choose()
        sides: dict[str, Any] = {"limit": bare.limit}
        if bare.queried_rows is not bare.all_rows:
            sides["asked"] = bare.queried
        sides |= {"xner": xner, "pipeline": bare.pipeline, "pipeline_default": bare.default}
        seconds = interleaved(sides, args.rounds)
    projection = bare.projections(args, work)
    return {
        **report(text, bare, xner, seconds, projection),
        "machine": machine_info,
        "settings": _settings(args) | best,
    }


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The options. The results are published, so paths are cut to their last part and output paths are left out."""
    values = {k: v for k, v in vars(args).items() if k not in ("work", "json")}
    return {k: Path(v).name if k in ("text", "teacher", "aligner") and v else v for k, v in values.items()}


class Bare:
    """The sides without Ray, in processes of one thread: one process on a GPU, else one per core."""

    def __init__(self, args: argparse.Namespace, tables: list[Any]):
        from bench.bare import Process

        cores = [None] if args.device == "cuda" else args.cores
        settings = (args.language, args.teacher, args.aligner, args.precision, args.budget, args.device)
        self.processes = [Process(core, *settings) for core in cores]
        self.work = self.processes[0].call("record", tables)
        self.labeled = self.processes[0].call("labeled_tables")
        self.all_rows, self.queried_rows = self.work["limit"], self.work["asked"]
        self.pairs = sum(len(t) for t in tables)
        self.batch, self.padding, self.quick = 1, 0.0, args.quick

    def choose(self) -> dict[str, int]:
        """Find the best token budget of the limit and the best batch size of the pipeline, on a part of the rows."""
        from bench.bare import run_all

        budgets, batch_sizes = (QUICK_BUDGETS, QUICK_BATCHES) if self.quick else (BUDGETS, BATCHES)
        self._share(SWEEP_PART)
        seconds_by_budget = {}
        for budget in budgets:
            for process in self.processes:
                process.call("prepare", budget)
            seconds_by_budget[budget] = min(run_all(self.processes, "forward", "limit") for _ in range(2))
        batches = {b: min(run_all(self.processes, "pipeline", b) for _ in range(2)) for b in batch_sizes}
        print(
            "budgets",
            {k: round(v, 2) for k, v in seconds_by_budget.items()},
            "batches",
            {k: round(v, 2) for k, v in batches.items()},
        )
        self._share(1)
        best = min(seconds_by_budget, key=seconds_by_budget.__getitem__)
        self.batch = min(batches, key=batches.__getitem__)
        self.padding = statistics.mean(process.call("prepare", best) for process in self.processes)
        return {"limit_budget": best, "pipeline_batch": self.batch}

    def _share(self, part: int) -> None:
        n = len(self.processes)
        for i, process in enumerate(self.processes):
            process.call("set_work", {kind: rows.share(i, part * n) for kind, rows in self.work.items()})

    def limit(self) -> float:
        return _run_all(self.processes, "forward", "limit")

    def queried(self) -> float:
        return _run_all(self.processes, "forward", "asked")

    def pipeline(self) -> float:
        return _run_all(self.processes, "pipeline", self.batch)

    def default(self) -> float:
        return _run_all(self.processes, "pipeline", 1)

    def projections(self, args: argparse.Namespace, work: Path) -> dict[str, Any]:
        """Number of pairs, and seconds of the align function and of the peers, each on one core."""
        from bench.peers_align import Peer
        from xner_ray.alignment.projector_file import read_projector
        from xner_ray.encoders.load import encoder_folder

        names = [name for name in args.peers.split(",") if name]
        if not names:
            return {}
        rows = [(s, t) for table in self.labeled for s, t, e in _rows(table) if e]
        encoder, layer = str(encoder_folder(args.encoder)), read_projector(args.aligner).similarity_layer or LAYER
        core = args.cores[0]
        peers = {n: Peer(n, encoder, layer, args.device, core, rows, work) for n in names}
        try:
            ours = {"align": lambda: _run_all(self.processes[:1], "projection")}
            return {"pairs": len(rows), "seconds": interleaved({**ours, **peers}, args.rounds)}
        finally:
            for peer in peers.values():
                peer.close()


def _run_all(*arguments: Any) -> float:
    from bench.bare import run_all

    return run_all(*arguments)


def _rows(table: Any) -> Any:
    return zip(*(table[c].to_pylist() for c in ("source", "target", "entities")), strict=True)


def report(
    text: Any, bare: Bare, xner: Any, seconds: dict[str, list[float]], projection: dict[str, Any]
) -> dict[str, Any]:
    """The JSON without `machine` and `settings`."""
    rounds = xner.rounds
    tokens = dict.fromkeys(("asked", "xner"), bare.queried_rows.tokens)
    results: dict[str, Any] = {
        name: {
            "pairs_per_second": rate(bare.pairs, s),
            "tokens_per_second": rate(tokens.get(name, bare.all_rows.tokens), s),
            "seconds": [round(x, 3) for x in s],
        }
        for name, s in seconds.items()
    }
    ratios = {f"xner/{name}": ratio(seconds["xner"], s) for name, s in seconds.items() if name != "xner"}
    for name, s in projection.get("seconds", {}).items():
        results[name] = {"pairs_per_second": rate(projection["pairs"], s), "seconds": [round(x, 3) for x in s]}
        if name != "align":
            ratios[f"align/{name}"] = ratio(projection["seconds"]["align"], s)
    per_round = {key: [r[key] for r in rounds] for key in ("padding", "startup", "tokens")}
    return results | {
        "ratios": ratios,
        "padding": round(statistics.median(per_round["padding"]), 4),
        "limit_padding": round(bare.padding, 4),
        "shares": {k: round(statistics.median(r["shares"][k] for r in rounds), 4) for k in rounds[0]["shares"]},
        "startup": {"xner_seconds": round(statistics.median(per_round["startup"]), 1)},
        "repeats": {
            **text.repeats,
            "mentions asked with another": round(1 - len(bare.all_rows.queries) / max(1, bare.all_rows.entities), 4),
        },
        "counts": {
            "pairs": bare.pairs,
            "tokens": bare.all_rows.tokens,
            "tokens_asked": bare.queried_rows.tokens,
            "tokens_of_xner": per_round["tokens"][0],
            "quarantined": max(r["quarantined"] for r in rounds),
            "rows": {name: len(ids) for name, ids in bare.all_rows.ids.items()},
            "rows_asked": {name: len(ids) for name, ids in bare.queried_rows.ids.items()},
            "entities_a_pair": round(bare.all_rows.entities / bare.pairs, 2),
        },
    }


def show(results: dict[str, Any]) -> None:
    for name, side in results.items():
        if isinstance(side, dict) and "pairs_per_second" in side:
            tokens = f"  {side['tokens_per_second']:10,.0f} tokens/s" if "tokens_per_second" in side else ""
            print(f"{name:18} {side['pairs_per_second']:8,.1f} pairs/s{tokens}")
    for key in ("ratios", "shares", "repeats", "startup", "counts"):
        print(f"{key}: " + ", ".join(f"{k} {v}" for k, v in results[key].items()))
    print(f"padding: {results['padding']:.2%}; load before: {results['machine']['load_before']}")


if __name__ == "__main__":
    main()
