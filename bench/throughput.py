"""One honest benchmark of labeling: the speed of `xner label` beside that of bare forward passes and of what users write.

    python -m bench.throughput --pairs 3000 --encoder embedded --device cpu --precision fp32 --text DIR --json OUT

Same distinct pairs, weights and precision on both sides of every ratio; medians of interleaved rounds; from the first batch to
the last commit, start-up and what deduplication gains apart. Keys of the JSON: `limit` (bare forward passes for all sentences
and all names, best budget), `asked` (the same for what labeling asks: not for names that are spelled alike), `xner` (the stage
itself on a warm Ray), `pipeline` (transformers.pipeline and padded batches, best batch
size; `pipeline_default`: batch size 1, its default), `simalign` and `awesome` (projection alone, beside `align`, ours), each with
`pairs_per_second`; `ratios`, `padding` (ours), `shares` (of the cores' time), `startup`, `repeats`, `machine`, `settings`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from bench.rounds import interleaved, machine, pin, rate, ratio, write_json

BUDGETS, BATCHES = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768), (1, 2, 4, 8, 16, 32, 64)
SWEPT = 16  # a sweep runs this part of the work
PEERS = ("simalign", "awesome")
LAYER = 7  # of the peers, where the aligner has no similarity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--encoder", default="embedded", help="embedded | hub id | folder")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", default="fp32", help="auto | fp32 | bf16 | fp16")
    parser.add_argument("--text", type=Path, help="folder of TSV files: id, source, target; default: xner sample")
    parser.add_argument("--language", default="de")
    parser.add_argument("--teacher", help="folder of a trained teacher; default: trained on the sample first")
    parser.add_argument("--aligner", help="folder of a trained aligner, likewise")
    parser.add_argument("--shards", type=int, default=16, help="at least six")
    parser.add_argument("--budget", type=int, default=4096, help="label.batch_tokens of xner")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", help="0,1: everything runs on these alone; default: all that this process may use")
    parser.add_argument("--peers", default=",".join(PEERS), help="an empty string: none")
    parser.add_argument("--work", type=Path, default=Path(__file__).parents[1] / "build" / "bench")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.shards < 6:
        parser.error("--shards: at least six")
    asked.cores = pin(asked.cores)
    results = measure(asked)
    show(results)
    write_json(asked.json, results)


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    from bench import inputs
    from bench.xner_side import XnerSide, warm_ray

    work = asked.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    about = machine(asked.cores)
    if not (asked.teacher and asked.aligner):
        asked.teacher, asked.aligner = inputs.models(work, asked.language, asked.encoder)
    text = inputs.read_text(asked.text, asked.language, asked.pairs, work)
    inputs.write_pairs(text.pairs, work / "pairs.tsv")
    with warm_ray(asked.cores, asked.device, work):
        xner = XnerSide(
            work, asked.language, asked.teacher, asked.aligner, asked.shards, asked.precision, asked.budget
        )
        bare = Bare(asked, xner.tables())
        best = bare.choose()
        sides: dict[str, Any] = {"limit": bare.limit}
        if bare.fewer is not bare.every:
            sides["asked"] = bare.asked
        sides |= {"xner": xner, "pipeline": bare.pipeline, "pipeline_default": bare.default}
        seconds = interleaved(sides, asked.rounds)
    projection = bare.projections(asked, work)
    return {
        **report(text, bare, xner, seconds, projection),
        "machine": about,
        "settings": _settings(asked) | best,
    }


def _settings(asked: argparse.Namespace) -> dict[str, Any]:
    """What was asked; of paths their last part, as the results are published, and nothing of where they are written."""
    told = {k: v for k, v in vars(asked).items() if k not in ("work", "json")}
    return {k: Path(v).name if k in ("text", "teacher", "aligner") and v else v for k, v in told.items()}


class Bare:
    """The sides that run beside Ray, in processes of one thread: one on a GPU, else one a core."""

    def __init__(self, asked: argparse.Namespace, tables: list[Any]):
        from bench.bare import Process

        cores = [None] if asked.device == "cuda" else asked.cores
        settings = (asked.language, asked.teacher, asked.aligner, asked.precision, asked.budget, asked.device)
        self.processes = [Process(core, *settings) for core in cores]
        self.work = self.processes[0].call("record", tables)
        self.labeled = self.processes[0].call("kept")
        self.every, self.fewer = self.work["limit"], self.work["asked"]
        self.pairs = sum(len(t) for t in tables)
        self.batch, self.padding = 1, 0.0

    def choose(self) -> dict[str, int]:
        """The best token budget of the limit and the best batch size of the pipeline, on a part of the work."""
        from bench.bare import together

        self._share(SWEPT)
        found = {}
        for budget in BUDGETS:
            for process in self.processes:
                process.call("prepare", budget)
            found[budget] = min(together(self.processes, "forward", "limit") for _ in range(2))
        batches = {b: min(together(self.processes, "pipeline", b) for _ in range(2)) for b in BATCHES}
        print(
            "budgets",
            {k: round(v, 2) for k, v in found.items()},
            "batches",
            {k: round(v, 2) for k, v in batches.items()},
        )
        self._share(1)
        best = min(found, key=found.__getitem__)
        self.batch = min(batches, key=batches.__getitem__)
        self.padding = statistics.mean(process.call("prepare", best) for process in self.processes)
        return {"limit_budget": best, "pipeline_batch": self.batch}

    def _share(self, part: int) -> None:
        n = len(self.processes)
        for i, process in enumerate(self.processes):
            process.call("take", {kind: asked.share(i, part * n) for kind, asked in self.work.items()})

    def limit(self) -> float:
        return _together(self.processes, "forward", "limit")

    def asked(self) -> float:
        return _together(self.processes, "forward", "asked")

    def pipeline(self) -> float:
        return _together(self.processes, "pipeline", self.batch)

    def default(self) -> float:
        return _together(self.processes, "pipeline", 1)

    def projections(self, asked: argparse.Namespace, work: Path) -> dict[str, Any]:
        """Seconds of our align stage alone and of the peers', all on one core, and how many pairs."""
        from bench.peers_align import Peer
        from xner_ray.alignment.projector_file import read_projector
        from xner_ray.encoders.load import encoder_folder

        names = [name for name in asked.peers.split(",") if name]
        if not names:
            return {}
        rows = [(s, t) for table in self.labeled for s, t, e in _rows(table) if e]
        encoder, layer = str(encoder_folder(asked.encoder)), read_projector(asked.aligner).similarity_layer or LAYER
        core = asked.cores[0]
        peers = {n: Peer(n, encoder, layer, asked.device, core, rows, work) for n in names}
        try:
            ours = {"align": lambda: _together(self.processes[:1], "projection")}
            return {"pairs": len(rows), "seconds": interleaved({**ours, **peers}, asked.rounds)}
        finally:
            for peer in peers.values():
                peer.close()


def _together(*arguments: Any) -> float:
    from bench.bare import together

    return together(*arguments)


def _rows(table: Any) -> Any:
    return zip(*(table[c].to_pylist() for c in ("source", "target", "entities")), strict=True)


def report(
    text: Any, bare: Bare, xner: Any, seconds: dict[str, list[float]], projection: dict[str, Any]
) -> dict[str, Any]:
    """The JSON, but for machine and settings."""
    told = xner.rounds
    tokens = dict.fromkeys(("asked", "xner"), bare.fewer.tokens)
    results: dict[str, Any] = {
        name: {
            "pairs_per_second": rate(bare.pairs, s),
            "tokens_per_second": rate(tokens.get(name, bare.every.tokens), s),
            "seconds": [round(x, 3) for x in s],
        }
        for name, s in seconds.items()
    }
    ratios = {f"xner/{name}": ratio(seconds["xner"], s) for name, s in seconds.items() if name != "xner"}
    for name, s in projection.get("seconds", {}).items():
        results[name] = {"pairs_per_second": rate(projection["pairs"], s), "seconds": [round(x, 3) for x in s]}
        if name != "align":
            ratios[f"align/{name}"] = ratio(projection["seconds"]["align"], s)
    middle = {key: [r[key] for r in told] for key in ("padding", "startup", "tokens")}
    return results | {
        "ratios": ratios,
        "padding": round(statistics.median(middle["padding"]), 4),
        "limit_padding": round(bare.padding, 4),
        "shares": {k: round(statistics.median(r["shares"][k] for r in told), 4) for k in told[0]["shares"]},
        "startup": {"xner_seconds": round(statistics.median(middle["startup"]), 1)},
        "repeats": {
            **text.repeats,
            "mentions asked with another": round(1 - len(bare.every.queries) / max(1, bare.every.entities), 4),
        },
        "counts": {
            "pairs": bare.pairs,
            "tokens": bare.every.tokens,
            "tokens_asked": bare.fewer.tokens,
            "tokens_of_xner": middle["tokens"][0],
            "quarantined": max(r["quarantined"] for r in told),
            "rows": {name: len(ids) for name, ids in bare.every.ids.items()},
            "rows_asked": {name: len(ids) for name, ids in bare.fewer.ids.items()},
            "entities_a_pair": round(bare.every.entities / bare.pairs, 2),
        },
    }


def show(results: dict[str, Any]) -> None:
    for name, told in results.items():
        if isinstance(told, dict) and "pairs_per_second" in told:
            tokens = f"  {told['tokens_per_second']:10,.0f} tokens/s" if "tokens_per_second" in told else ""
            print(f"{name:18} {told['pairs_per_second']:8,.1f} pairs/s{tokens}")
    for key in ("ratios", "shares", "repeats", "startup", "counts"):
        print(f"{key}: " + ", ".join(f"{k} {v}" for k, v in results[key].items()))
    print(f"padding: {results['padding']:.2%}; load before: {results['machine']['load_before']}")


if __name__ == "__main__":
    main()
