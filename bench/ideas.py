"""Measures variants of the forward pass against fp32 weights in sorted batches of the default budget, on the same rows.

    python -m bench.ideas --teacher DIR --aligner DIR --text DIR --pairs 400 --cores 0 --json OUT

The rows are those that labeling runs without exact matching (`bare.py`). Cases:

    in_order  batches of 32 rows in their original order
    filled    sorted rows, each batch filled up to the budget
    autocast  fp32 weights, bf16 inside autocast
    bf16      weights cast to bf16 once
    int8      torch's dynamic quantization of the linear layers
    budget_N  a token budget of N

The JSON is `{case: {seconds, gain, padding, other_labels}}`. `gain` is the time of fp32 over the time of the case.
`other_labels` is the share of tokens of teacher and aligner whose best label differs from that of fp32.
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
    args = parser.parse_args()
    core = pin(args.cores)[0]
    results: dict[str, Any] = measure(args, core)
    for name, row in results.items():
        print(f"{name:12} {row['gain']:6.3f}x  padding {row['padding']:.1%}  other labels {row['other_labels']:.3%}")
    write_json(args.json, {**results, "machine": machine([core])})


def measure(args: argparse.Namespace, core: int | None) -> dict[str, dict[str, Any]]:
    import tempfile

    import pyarrow as pa

    from bench.bare import Models
    from bench.inputs import read_text

    with tempfile.TemporaryDirectory() as folder:
        text = read_text(args.text, args.language, args.pairs, Path(folder))
    sources, targets = zip(*text.pairs, strict=True)
    models = Models(core, args.language, args.teacher, args.aligner, "fp32", args.budget, "cpu")
    rows = models.record([pa.table({"source": sources, "target": targets})])["limit"]
    cases = {name: Case(models, rows, name, args.budget) for name in ["fp32", *_case_names(args.cases)]}
    seconds = interleaved({name: case.run for name, case in cases.items()}, args.rounds)
    fp32_labels = cases["fp32"].labels()
    return {
        name: {
            "seconds": [round(s, 3) for s in seconds[name]],
            "gain": ratio(seconds[name], seconds["fp32"]),
            "padding": round(case.padding, 4),
            "other_labels": float((case.labels() != fp32_labels).mean()),
        }
        for name, case in cases.items()
    }


def _case_names(cases: str) -> list[str]:
    return [c for c in cases.split(",") if c] or [
        "in_order",
        "filled",
        "autocast",
        "bf16",
        "int8",
        *(f"budget_{b}" for b in BUDGETS),
    ]


class Case:
    """One case over all rows."""

    def __init__(self, models: Any, rows: Any, name: str, budget: int):
        import numpy as np
        import torch

        from xner_ray.encoders.batching import greedy_batches, min_cost_batches

        self.rows, self.name = rows, name
        self.engines = models.engines
        self.models = {k: self._model(e.model) for k, e in models.engines.items()}
        self.context: Callable[[], Any] = lambda: torch.autocast("cpu", torch.bfloat16, enabled=name == "autocast")
        if name.startswith("budget_"):
            budget = int(name.removeprefix("budget_"))

        def make_batches(ids: Any) -> list[Any]:
            if name == "in_order":
                return [np.arange(i, min(i + ROWS, len(ids))) for i in range(0, len(ids), ROWS)]
            return (greedy_batches if name == "filled" else min_cost_batches)(ids.lengths, budget)

        self.batches = {k: make_batches(ids) for k, ids in rows.ids.items()}
        padded = sum(
            len(b) * int(rows.ids[k].lengths[b].max()) for k, batches in self.batches.items() for b in batches
        )
        self.padding = 1 - rows.tokens / padded

    def _model(self, model: Any) -> Any:
        import torch

        if self.name == "bf16":
            return copy.deepcopy(model).to(torch.bfloat16)
        if self.name == "int8":
            return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, torch.qint8)
        return model

    def run(self) -> float:
        """Seconds of the forward passes, including the making of tensors."""
        import time

        began = time.perf_counter()
        for name in self.batches:
            for _ in self._outputs(name):
                pass
        return time.perf_counter() - began

    def labels(self) -> Any:
        """The best label of every token of teacher and aligner, without padding, in the order of the ids."""
        import numpy as np

        from xner_ray.encoders.ragged import ranges

        labels = []
        for name in ("teacher", "aligner"):
            ids = self.rows.ids[name]
            best = np.empty(len(ids.values), np.int64)
            for batch, mask, logits in self._outputs(name):
                best[ranges(ids.offsets[batch], ids.lengths[batch])] = logits.argmax(-1).numpy()[mask]
            labels.append(best)
        return np.concatenate(labels)

    def _outputs(self, name: str) -> Any:
        import numpy as np
        import torch

        from xner_ray.encoders.batching import pad_batch

        ids, types = self.rows.ids[name], self.rows.types[name]
        engine, model = self.engines[name], self.models[name]
        for batch in self.batches[name]:
            padded, mask = pad_batch(ids, batch, engine.pad_id)
            segments = pad_batch(types, batch, 0)[0] if types is not None and engine.has_segment_ids else None
            arrays = {"input_ids": padded, "attention_mask": mask.astype(np.int64), "token_type_ids": segments}
            inputs = {
                key: torch.from_numpy(array).to(engine.device) for key, array in arrays.items() if array is not None
            }
            with torch.inference_mode(), self.context():
                out = model.base_model(**inputs) if name == "similarity" else model(**inputs)
            yield batch, mask, getattr(out, "logits", None)


if __name__ == "__main__":
    main()
