"""The parts `machine`, `matmul`, `engine` and `precision`."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench.gpu_session.models import (
    TYPES,
    BusyTimer,
    Rows,
    Shape,
    embedded_model,
    embedded_shape,
    engines,
    fastest,
    large_shape,
    now,
    random_model,
)
from bench.gpu_session.parts import Recorder, Session
from xner_ray.encoders.batching import min_cost_batches, pad_batch
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import TorchEngine

BUDGETS, SMALL_BUDGETS = (4096, 8192, 16384, 32768, 65536), (512, 2048)
BUDGET = 16384  # of the parts that do not compare budgets
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def machine(session: Session, recorder: Recorder) -> None:
    """The device and the versions."""

    def describe() -> dict[str, Any]:
        import transformers

        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        torch.zeros(1, device=session.device)  # an error if the device does not work
        if session.device != "cuda":
            return {"device": platform.processor() or platform.machine(), **versions}
        properties = torch.cuda.get_device_properties(0)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        return {"device": properties.name, "memory": memory, "cuda": torch.version.cuda, **versions}

    recorder.measure("machine", describe)


def matmul(session: Session, recorder: Recorder) -> None:
    """TFLOP/s of the fastest of several products of two square matrices."""
    size, repeats = (256, 2) if session.small else (8192, 8)
    for precision in precisions(session):

        def run(dtype: torch.dtype = DTYPES[precision]) -> dict[str, Any]:
            a, b = (torch.randn(size, size, device=session.device, dtype=dtype) for _ in range(2))

            def products() -> None:
                for _ in range(repeats):
                    a @ b

            seconds = fastest(session.device, products, 8) / repeats
            return {"tflops": round(2 * size**3 / seconds / 1e12, 3)}

        recorder.measure(precision, run)


def precisions(session: Session) -> list[str]:
    """The precisions that are compared."""
    return ["fp32", "bf16"] if session.small else ["bf16", "fp16"]


def budgets(session: Session) -> Sequence[int]:
    """The token budgets that are compared."""
    return SMALL_BUDGETS if session.small else BUDGETS


def engine(session: Session, recorder: Recorder) -> None:
    """Teacher and aligner over all rows, by token budget, in bf16."""
    shape, rows = large_shape(session), Rows(session)
    both = engines(session, shape, "bf16")
    auto = both[0].max_batch_tokens
    timer = BusyTimer([e.model for e in both], session.device)
    for name, budget in {**{f"{b}": b for b in budgets(session)}, "auto": auto}.items():
        recorder.measure(name, lambda budget=budget: engine_rates(session, shape, rows, both, timer, budget))


def engine_rates(
    session: Session, shape: Shape, rows: Rows, both: list[TorchEngine], timer: BusyTimer, budget: int
) -> dict[str, Any]:
    """Rates of teacher and aligner at a token budget.

    Args:
        session: of the part.
        shape: of the models.
        rows: of the models.
        both: the engines.
        timer: of their models.
        budget: padded tokens of a forward pass.
    """
    for one in both:
        one.max_batch_tokens = budget

    def run() -> None:
        for one, ids in zip(both, (rows.teacher, rows.aligner), strict=True):
            one.probabilities(ids)

    def padded() -> tuple[int, int]:
        return sum(e.stats.tokens for e in both), sum(e.stats.padded_tokens for e in both)

    before = padded()
    seconds = fastest(session.device, run, session.rounds)
    tokens, all_tokens = (b - a for a, b in zip(before, padded(), strict=True))
    return {
        "budget": both[0].max_batch_tokens,
        **rates(rows, shape, seconds),
        "busy": timer.share(run),
        "padding": round(1 - tokens / all_tokens, 4),
        "oom_backoffs": sum(e.stats.oom_backoffs for e in both),
    }


def rates(rows: Rows, shape: Shape, seconds: float) -> dict[str, float]:
    """Rates of all rows in a time."""
    return {
        "pairs_per_second": round(rows.table.num_rows / seconds, 1),
        "tokens_per_second": round(rows.tokens / seconds),
        "tflops": round(rows.flops(shape) / seconds / 1e12, 4),
    }


def precision(session: Session, recorder: Recorder) -> None:
    """Rates and values that are not finite, by shape and precision. The embedded encoder has trained weights."""
    rows = Rows(session)
    for name, shape in (("large", large_shape(session)), ("embedded", embedded_shape(session))):
        for kind in precisions(session):
            recorder.measure(
                f"{name} {kind}",
                lambda name=name, shape=shape, kind=kind: precision_rates(session, rows, name, shape, kind),
            )


def precision_rates(session: Session, rows: Rows, name: str, shape: Shape, kind: str) -> dict[str, Any]:
    """Rates of the teacher in a precision, and the number of logits that are not finite."""
    model = random_model(shape, session, len(TYPES)) if name == "large" else embedded_model(session, TYPES)
    one = TorchEngine(model, BUDGET, kind, session.device)
    seconds = fastest(session.device, lambda: one.probabilities(rows.teacher), session.rounds)
    not_finite = torch.zeros((), dtype=torch.int64, device=session.device)
    with torch.inference_mode():
        for batch in padded_batches(rows.teacher, BUDGET, one.pad_id, session.device):
            logits = one.model(**batch).logits[batch["attention_mask"].bool()]
            not_finite += (~torch.isfinite(logits)).sum()
    now(session.device)
    return {
        "sentences_per_second": round(len(rows.teacher) / seconds, 1),
        "tokens_per_second": round(len(rows.teacher.values) / seconds),
        "tflops": round(shape.flops(rows.teacher.lengths) / seconds / 1e12, 4),
        "not_finite": int(not_finite),
        "fp32_repeats": one.stats.fp32_repeats,
    }


def padded_batches(rows: Ragged, budget: int, pad_id: int, device: str) -> list[dict[str, torch.Tensor]]:
    """Padded batches of rows on the device, as arguments of a model."""
    batches = []
    for batch in min_cost_batches(rows.lengths, budget):
        ids, mask = pad_batch(rows, batch, pad_id)
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        batches.append({key: torch.from_numpy(value).to(device) for key, value in arrays.items()})
    return batches
