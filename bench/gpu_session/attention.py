"""The part `attention`: forward passes of the teacher over prepared batches, in five ways.

They decide whether unpadded attention or compiled models are worth their code in the package. The batches are on the device
beforehand, so the host does nothing but start kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from bench.gpu_session.engine import BUDGET, padded_batches
from bench.gpu_session.models import TYPES, Rows, fastest, large_shape, now, random_model
from bench.gpu_session.parts import Recorder, Session

# Attention of rows that follow one another: query, key and value [tokens, heads, width of a head], and the offsets of rows.
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def attention(session: Session, recorder: Recorder) -> None:
    """Tokens per second of each way in bf16, without padding."""
    rows, shape = Rows(session), large_shape(session)
    dtype = torch.float32 if session.small else torch.bfloat16
    model = random_model(shape, session, len(TYPES)).eval().to(dtype)
    batches = padded_batches(rows.teacher, BUDGET, 1, session.device)
    flat = [unpadded(batch) for batch in batches]
    masked = [with_expanded_mask(batch) for batch in batches]
    prepared = {
        "padded": lambda: [model(**batch) for batch in masked],
        "unmasked": lambda: [model(input_ids=batch["input_ids"]) for batch in batches],
        "unpadded, nested tensors": lambda: [unpadded_logits(model, *row, nested) for row in flat],
        "unpadded, varlen_attn": lambda: [unpadded_logits(model, *row, variable_length) for row in flat],
    }

    def rate(run: Callable[[], Any]) -> dict[str, Any]:
        with torch.inference_mode():
            seconds = fastest(session.device, run, session.rounds)
        tokens = len(rows.teacher.values)
        tflops = shape.flops(rows.teacher.lengths) / seconds / 1e12
        return {"tokens_per_second": round(tokens / seconds), "tflops": round(tflops, 4)}

    def compiled() -> dict[str, Any]:
        # A small session only traces, because a compiler for CPUs takes a minute.
        fast = torch.compile(model, dynamic=True, backend="eager" if session.small else "inductor")
        began = now(session.device)
        with torch.inference_mode():
            for batch in masked:
                fast(**batch)
        compile_seconds = round(now(session.device) - began, 1)
        return rate(lambda: [fast(**batch) for batch in masked]) | {"compile_seconds": compile_seconds}

    for name, run in prepared.items():
        recorder.measure(name, lambda run=run: rate(run))
    recorder.measure("padded, compiled", compiled)


def with_expanded_mask(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch with the mask of four dimensions that the engine gives to models."""
    mask = batch["attention_mask"].bool()
    return {**batch, "attention_mask": mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)}


def unpadded(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The tokens of a batch one row after another: ids int64 [tokens], offsets int32 [rows + 1], and the longest row."""
    mask = batch["attention_mask"].bool()
    lengths = mask.sum(1)
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    return batch["input_ids"][mask], offsets, int(lengths.max())


def unpadded_logits(
    model: torch.nn.Module, ids: torch.Tensor, offsets: torch.Tensor, longest: int, attend: Attend
) -> torch.Tensor:
    """Logits [tokens, labels] of a classifier of BERT's or XLM-R's layout, in eval mode, without padding."""
    base: Any = model.base_model
    lengths = offsets.diff()
    first = 2 if base.config.model_type == "xlm-roberta" else 0  # positions of XLM-R begin after the padding id
    starts = torch.repeat_interleave(offsets[:-1], lengths, output_size=len(ids))
    positions = torch.arange(len(ids), device=ids.device) - starts + first
    x = base.embeddings(input_ids=ids[None], position_ids=positions[None])[0]
    for layer in base.encoder.layer:
        inner = layer.attention.self
        heads = (len(ids), base.config.num_attention_heads, -1)
        query, key, value = (f(x).view(heads) for f in (inner.query, inner.key, inner.value))
        context = attend(query, key, value, offsets, longest).reshape(len(ids), -1)
        x = layer.attention.output(context, x)
        x = layer.output(layer.intermediate(x), x)
    return model.classifier(x)  # type: ignore[operator]


def nested(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, offsets: torch.Tensor, longest: int
) -> torch.Tensor:
    """Scaled dot product attention over nested tensors."""
    jagged = [
        torch.nested.nested_tensor_from_jagged(x, offsets.long(), max_seqlen=longest, min_seqlen=1).transpose(1, 2)
        for x in (query, key, value)
    ]
    return scaled_dot_product_attention(*jagged).transpose(1, 2).values()


def variable_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, offsets: torch.Tensor, longest: int
) -> torch.Tensor:
    """Attention of rows of variable length, which newer versions of torch have for GPUs."""
    from torch.nn.attention.varlen import varlen_attn

    result: Any = varlen_attn(query, key, value, offsets, offsets, longest, longest)
    return result
