"""The engine for labeling and aligning: a PyTorch model, its device, its precision, and the reaction to exhausted memory.

It needs torch and NumPy, but no Ray, so it runs in any process.

The loop over batches waits for a GPU only to read the result of a batch after the next one was started. A thread makes pinned
tensors, and copies to and from the device are asynchronous. On a CPU the same code runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from xner_ray.encoders.device_errors import NoGpuError, exhausts_memory
from xner_ray.encoders.engine_base import NOT_FINITE, Batch, BatchedEngine, Fetch, Forward, is_finite
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.token_budget import TokenBudget, auto_budget

log = logging.getLogger(__name__)
T = TypeVar("T")
# Models that take a mask of four dimensions as it is. From one of two dimensions, transformers makes the same mask, but first
# it waits for the device, to see whether anything is masked.
FOUR_DIMENSIONAL_MASKS = ("bert", "camembert", "electra", "roberta", "xlm-roberta", "xlm-roberta-xl")


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of a precision's name.

    Args:
        precision: auto | fp32 | bf16 | fp16. `auto` is bf16 on GPUs from Ampere on, and on CPUs that multiply in bf16 (AMX,
            AVX-512 BF16). It is fp16 on older GPUs and fp32 on other CPUs.
        device: where the model runs.
    """
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    multiplies_bf16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if multiplies_bf16 else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    """The precision of a dtype, as configs name it."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]


def free_memory(device: torch.device) -> int | None:
    """Bytes of a GPU that nothing uses, with those that torch keeps for later tensors of this process; None: a CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


class TorchEngine(BatchedEngine):
    """Runs a token classifier of transformers.

    Args:
        model: the model; it is set to eval mode, moved to the device and cast here.
        max_batch_tokens: padded tokens of a forward pass; auto: by the memory of the device (`token_budget`).
        precision: auto | fp32 | bf16 | fp16, the dtype of the weights, see `choose_precision`.
        device: where to run; None: the GPU if there is one, else the CPU.

    Raises:
        NoGpuError: the device is `cuda`, and torch sees no GPU.
    """

    def __init__(
        self, model, max_batch_tokens: TokenBudget = "auto", precision: str = "auto", device: str | None = None
    ):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise NoGpuError
        if self.device.type == "cuda" and self.device.index is None:  # another thread has another current device
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.dtype = choose_precision(precision, self.device)
        self.model = model.eval().to(self.device, self.dtype)
        if max_batch_tokens == "auto":
            max_batch_tokens = auto_budget(model.config, self.dtype.itemsize, free_memory(self.device))
        super().__init__(model.config, max_batch_tokens)
        attention = getattr(model.config, "_attn_implementation", None)
        self._expands_mask = attention == "sdpa" and model.config.model_type in FOUR_DIMENSIONAL_MASKS

    def hidden_states(self, ids: Ragged, layer: int) -> np.ndarray:
        """Hidden states of every token after `layer` transformer layers.

        Args:
            ids: int32 token ids with special tokens, at most `max_length` a row.
            layer: 0 (the embeddings) to the model's number of layers.

        Returns:
            float32 [tokens, width], in the order of `ids.values`.
        """
        return self.run(ids, None, lambda batch: self.to_host(self._hidden_states(batch, layer).float()))

    def device_states(self, ids: Ragged, layer: int) -> tuple[torch.Tensor, np.ndarray]:
        """Hidden states that stay on the device. Call it inside of `run_finite` and `torch.inference_mode()`.

        Args:
            ids: int32 token ids with special tokens, at most `max_length` a row; at least one row.
            layer: 0 (the embeddings) to the model's number of layers.

        Returns:
            [tokens of distinct rows, width], in the dtype of the model.
            int64 [rows], the index of each row's first token.
        """
        first, inverse = self.distinct_rows(ids)
        distinct = ids.take(first)
        states: torch.Tensor | None = None
        for batch in self.batches(distinct, None):
            hidden = self._hidden_states(batch, layer).flatten(0, 1)
            if not batch.mask.all():
                hidden = hidden.index_select(0, self.to_device(np.flatnonzero(batch.mask)))
            if states is None:
                states = hidden.new_empty((len(distinct.values), hidden.shape[1]))
            states.index_copy_(0, self.to_device(batch.tokens), hidden)
        assert states is not None
        return states, distinct.offsets[inverse]

    @torch.inference_mode()
    def run(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        """Run a forward function over all rows without gradients, see `BatchedEngine.run`."""
        return super().run(ids, segment_ids, forward)

    def _forward_probabilities(self, batch: Batch) -> Fetch:
        logits = self.model(**self._device_inputs(batch)).logits
        return self.to_host(torch.softmax(logits.float(), dim=-1))

    def _hidden_states(self, batch: Batch, layer: int) -> torch.Tensor:
        """[rows, longest, width], on the device."""
        return self.model.base_model(**self._device_inputs(batch), output_hidden_states=True).hidden_states[layer]

    def _run_distinct(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        longest = int(ids.lengths.max())
        return self.run_finite(lambda: self._run_batches(ids, segment_ids, forward), is_finite, longest)

    def run_finite(self, run: Callable[[], T], is_finite: Callable[[T], bool], longest: int) -> T:
        """Call a function that runs the model, again in fp32 if its result is not finite.

        Args:
            run: the function. It makes batches of at most `max_batch_tokens`.
            is_finite: whether a result has neither NaN nor infinity.
            longest: tokens of the longest row.

        Raises:
            ValueError: the result in fp32 is not finite.
            RuntimeError: the longest row alone does not fit into memory.
        """
        result = self._run_in_memory(run, longest)
        if not is_finite(result) and self.dtype != torch.float32:
            self.stats.fp32_repeats += 1
            try:
                self.model.float()
                result = self._run_in_memory(run, longest)
            finally:
                self.model.to(self.dtype)  # weights that were rounded to this dtype do not change
        if not is_finite(result):
            raise ValueError(NOT_FINITE)
        return result

    def _run_in_memory(self, run: Callable[[], T], longest: int) -> T:
        """Call a function that runs the model. If memory is exhausted, halve the token budget for the rest of the run."""
        while True:
            try:
                return run()  # all rows run again, so that their scores come from one batch size
            except RuntimeError as e:
                if not exhausts_memory(e) or self.max_batch_tokens <= longest:
                    raise
            # Not in the `except` block, where the traceback keeps the tensors of the failed batch alive.
            self.max_batch_tokens //= 2
            self.stats.oom_backoffs += 1
            if self.stats.oom_backoffs == 1:
                message = "the memory of %s is exhausted: the token budget is halved for the rest of the run, to %d"
                log.warning(message, self.device, self.max_batch_tokens)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _host_inputs(
        self, ids: np.ndarray, mask: np.ndarray, segment_ids: np.ndarray | None
    ) -> dict[str, torch.Tensor]:
        # Without padding no mask is needed, and the device may use a faster kernel.
        arrays = {
            "input_ids": ids,
            "attention_mask": None if mask.all() else mask if self._expands_mask else mask.astype(np.int64),
            "token_type_ids": segment_ids,
        }
        return {k: self.pinned(v) for k, v in arrays.items() if v is not None}

    def _device_inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The keyword arguments of the model's forward."""
        inputs = {k: v.to(self.device, non_blocking=True) for k, v in batch.inputs.items()}
        if self._expands_mask and "attention_mask" in inputs:
            longest = batch.mask.shape[1]
            inputs["attention_mask"] = inputs["attention_mask"][:, None, None, :].expand(-1, 1, longest, -1)
        return inputs

    def pinned(self, array: np.ndarray) -> torch.Tensor:
        """A tensor of the host that can be copied to the device while the host goes on."""
        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor
        with torch.cuda.device(self.device):  # of this thread, which may be that of the prefetch
            return tensor.pin_memory()

    def to_device(self, array: np.ndarray) -> torch.Tensor:
        """Start a copy of an array to the device."""
        return self.pinned(array).to(self.device, non_blocking=True)

    def to_host(self, tensor: torch.Tensor) -> Callable[[], np.ndarray]:
        """Start a copy of a tensor to the host. The returned function waits for it."""
        host = tensor.to("cpu", non_blocking=True)  # torch makes it pinned memory
        event = self._record_event()

        def fetch() -> np.ndarray:
            if event is not None:
                event.synchronize()
            return host.numpy()

        return fetch

    def _record_event(self) -> Any:
        """An event that comes after all work that was started on the device; None: the device has no queue."""
        if self.device.type != "cuda":
            return None
        event = torch.cuda.Event(blocking=True)  # the waiting thread sleeps, so that others can use the core
        event.record(torch.cuda.current_stream(self.device))  # the default is a stream of the current device
        return event
