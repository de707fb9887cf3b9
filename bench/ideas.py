"""Ideas for faster forward passes, each against fp32 weights in sorted batches of the default budget, on the same rows.

    python -m bench.ideas --teacher DIR --aligner DIR --text DIR --pairs 400 --cores 0 --json OUT

The rows are what labeling asks (`bare.py`). Cases: `in_order` (batches of 32 rows as they come), `filled`
(sorted, each batch as full as the budget lets it be), `autocast` (fp32 weights,
bf16 inside autocast), `bf16` (weights cast once), `int8` (torch's dynamic quantization of linear layers), `budget_N`. The
JSON is `{case: {seconds, gain, padding, other_labels}}`: `gain` is fp32's time over the case's, `other_labels` the share of
real tokens of teacher and aligner whose best label is another than fp32's.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rounds import interleaved, machine, pin, ratio, write_json

BUDGETS = (512, 1024, 2048, 8192, 16384)
ROWS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--aligner", required=True)
    parser.add_argument("--text", type=Path, help="folder of TSV files; default: xner sample")
    parser.add_argument("--language", default="de")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--budget", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default="", help="comma between; default: all")
    parser.add_argument("--cores", help="the first is used; default: the first that this process may use")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    core = pin(asked.cores)[0]
    results: dict[str, Any] = measure(asked, core)
    for name, told in results.items():
        print(
            f"{name:12} {told['gain']:6.3f}x  padding {told['padding']:.1%}  other labels {told['other_labels']:.3%}"
        )
    write_json(asked.json, {**results, "machine": machine([core])})


def measure(asked: argparse.Namespace, core: int | None) -> dict[str, dict[str, Any]]:
    import tempfile

    import pyarrow as pa

    from bench.bare import Models
    from bench.inputs import read_text

    with tempfile.TemporaryDirectory() as folder:
        text = read_text(asked.text, asked.language, asked.pairs, Path(folder))
    sources, targets = zip(*text.pairs, strict=True)
    models = Models(core, asked.language, asked.teacher, asked.aligner, "fp32", asked.budget, "cpu")
    rows, _ = models.record([pa.table({"source": sources, "target": targets})])
    cases = {name: Case(models, rows, name, asked.budget) for name in ["fp32", *_wanted(asked.cases)]}
    seconds = interleaved({name: case.run for name, case in cases.items()}, asked.rounds)
    truth = cases["fp32"].labels()
    return {
        name: {
            "seconds": [round(s, 3) for s in seconds[name]],
            "gain": ratio(seconds[name], seconds["fp32"]),
            "padding": round(case.padding, 4),
            "other_labels": float((case.labels() != truth).mean()),
        }
        for name, case in cases.items()
    }


def _wanted(cases: str) -> list[str]:
    return [c for c in cases.split(",") if c] or [
        "in_order",
        "filled",
        "autocast",
        "bf16",
        "int8",
        *(f"budget_{b}" for b in BUDGETS),
    ]


class Case:
    """One idea over all rows that were asked."""

    def __init__(self, models: Any, asked: Any, name: str, budget: int):
        import numpy as np
        import torch

        from xner_ray.encoders.batching import greedy_batches, min_cost_batches

        self.asked, self.name = asked, name
        self.engines = models.engines
        self.made = {k: self._model(e.model) for k, e in models.engines.items()}
        self.context: Callable[[], Any] = lambda: torch.autocast("cpu", torch.bfloat16, enabled=name == "autocast")
        if name.startswith("budget_"):
            budget = int(name.removeprefix("budget_"))

        def cut(ids: Any) -> list[Any]:
            if name == "in_order":
                return [np.arange(i, min(i + ROWS, len(ids))) for i in range(0, len(ids), ROWS)]
            return (greedy_batches if name == "filled" else min_cost_batches)(ids.lengths, budget)

        self.batches = {k: cut(ids) for k, ids in asked.ids.items()}
        padded = sum(
            len(b) * int(asked.ids[k].lengths[b].max()) for k, batches in self.batches.items() for b in batches
        )
        self.padding = 1 - asked.tokens / padded

    def _model(self, model: Any) -> Any:
        import torch

        if self.name == "bf16":
            return copy.deepcopy(model).to(torch.bfloat16)
        if self.name == "int8":
            return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, torch.qint8)
        return model

    def run(self) -> float:
        """Seconds of the forward passes, with tensors made on the way."""
        import time

        began = time.perf_counter()
        for name in self.batches:
            for _ in self._outputs(name):
                pass
        return time.perf_counter() - began

    def labels(self) -> Any:
        """The best label of every real token of teacher and aligner, in the order of their ids."""
        import numpy as np

        from xner_ray.encoders.ragged import ranges

        found = []
        for name in ("teacher", "aligner"):
            ids = self.asked.ids[name]
            best = np.empty(len(ids.values), np.int64)
            for batch, mask, logits in self._outputs(name):
                best[ranges(ids.offsets[batch], ids.lengths[batch])] = logits.argmax(-1).numpy()[mask]
            found.append(best)
        return np.concatenate(found)

    def _outputs(self, name: str) -> Any:
        import torch

        from xner_ray.encoders.batching import pad_batch

        ids, types = self.asked.ids[name], self.asked.types[name]
        engine, model = self.engines[name], self.made[name]
        for batch in self.batches[name]:
            padded, mask = pad_batch(ids, batch, engine.pad_id)
            segments = pad_batch(types, batch, 0)[0] if types is not None and engine.has_segment_ids else None
            inputs = engine._inputs(padded, mask, segments)
            with torch.inference_mode(), self.context():
                out = model.base_model(**inputs) if name == "similarity" else model(**inputs)
            yield batch, mask, getattr(out, "logits", None)


if __name__ == "__main__":
    main()
