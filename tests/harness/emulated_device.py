"""An emulated GPU: tensors whose operations run in a thread, in order, while the host goes on.

The tensors say that they are on the device `meta`. Each operation on them returns at once, with a tensor of the right shape, and
is queued. The thread runs the queue on real CPU tensors. Where a GPU makes the host wait, this device does, and counts it: for
`.cpu()`, `.item()`, `bool(...)`, indexing by a mask, and each copy that is not `non_blocking`. So tests can count the waits of
the real engine with real models.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_COPIES = (_aten._to_copy.default, _aten.copy_.default)


class DeviceTensor(torch.Tensor):
    """A tensor of the emulated device. `shape_tensor` is a meta tensor, and `box` is a list that will hold the CPU tensor."""

    shape_tensor: torch.Tensor
    box: list[torch.Tensor]

    @staticmethod
    def __new__(cls, shape_tensor: torch.Tensor) -> DeviceTensor:
        with torch.inference_mode(False):  # else a view of a tensor from outside of inference mode is an error
            self = torch.Tensor._make_wrapper_subclass(
                cls,
                shape_tensor.size(),
                strides=shape_tensor.stride(),
                dtype=shape_tensor.dtype,
                device=DEVICE,
            )
        self.shape_tensor, self.box = shape_tensor, []
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} was called outside of the emulated device")


class Event:
    """As `torch.cuda.Event`."""

    def __init__(self, marker: Future[None]):
        self.marker = marker

    def synchronize(self) -> None:
        """Wait until the queue has reached the event."""
        self.marker.result()


class EmulatedDevice(TorchDispatchMode):
    """The device, inside of `with device.running()`.

    Attributes:
        waits: how often the host waited for the device, by operation.
        busy_seconds: how long the device worked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread = ThreadPoolExecutor(1)
        self.waits: Counter[str] = Counter()
        self.busy_seconds = 0.0
        self.error: BaseException | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The device works in this context.

        Raises:
            Exception: queued work raised it.
        """
        with self.thread, self:
            yield
        if self.error:
            raise self.error

    def attach(self, engine: Any) -> None:
        """Move an engine of the CPU to this device."""
        engine.device = DEVICE
        for module in engine.model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = self.wrap(tensor.data)
        engine._record_event = self.record_event

    def record_event(self) -> Event:
        """An event behind all work that is queued now."""
        return Event(self.queue(lambda: None))

    def sleep(self, seconds: float) -> None:
        """Queue work that takes some time."""
        self.queue(lambda: time.sleep(seconds))

    def queue(self, work: Callable[[], Any]) -> Future[Any]:
        """Run a function in the thread, after all work before it."""
        done = self.thread.submit(self._run, work)
        done.add_done_callback(self._keep_error)
        return done

    @torch.inference_mode()
    def _run(self, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.busy_seconds += time.perf_counter() - began

    def _keep_error(self, done: Future[Any]) -> None:
        self.error = self.error or done.exception()

    def wrap(self, tensor: torch.Tensor) -> DeviceTensor:
        """A copy of a CPU tensor on this device."""
        wrapped = DeviceTensor(torch.empty_like(tensor, device="meta"))
        wrapped.box.append(tensor)
        return wrapped

    def _wait_for(self, func: Any, args: Any, kwargs: Any) -> Any:
        self.waits[str(func)] += 1
        result = self.queue(lambda: func(*tree_map(_real, args), **tree_map(_real, kwargs))).result()
        return tree_map(self._wrapped, result)

    def _wrapped(self, x: Any) -> Any:
        return self.wrap(x) if isinstance(x, torch.Tensor) else x

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        on_device = [isinstance(x, DeviceTensor) for x in tensors]
        target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
        if not any(on_device) and target != DEVICE:
            return func(*args, **kwargs)
        to_cpu = target is not None and target != DEVICE
        if not all("Tensor" in str(x.type) for x in func._schema.returns):
            return self._wait_for(func, args, kwargs)
        with self:  # in inference mode, operations come here before they are split into basic ones
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        blocks = not (kwargs.get("non_blocking") or (args and args[-1] is True))
        if func in _COPIES and blocks and (to_cpu or not all(on_device)):
            self.waits[f"blocking {func}"] += 1
        shape_kwargs = {**kwargs, "device": DEVICE} if target else kwargs
        real_kwargs = {**kwargs, "device": torch.device("cpu")} if target else kwargs

        def run() -> Any:
            return func(*tree_map(_real, args), **tree_map(_real, real_kwargs))

        try:
            shapes = func(*tree_map(_shape, args), **tree_map(_shape, shape_kwargs))
        except NotImplementedError:  # the shape of the result depends on values
            return self._wait_for(func, args, kwargs)
        if to_cpu:
            host = torch.full(shapes.shape, -99, dtype=shapes.dtype)  # until the copy is done
            copied = self.queue(lambda: host.copy_(run()))
            if blocks:
                copied.result()
            return host
        if func._schema.is_mutable:
            self.queue(run)
            return args[0]
        outputs = tree_map(lambda x: DeviceTensor(x) if isinstance(x, torch.Tensor) else x, shapes)
        self.queue(lambda: _fill(outputs, run()))
        return outputs


def _fill(outputs: Any, results: Any) -> None:
    for output, result in zip(tree_flatten(outputs)[0], tree_flatten(results)[0], strict=True):
        if isinstance(output, DeviceTensor):
            output.box.append(result)


def _real(x: Any) -> Any:
    return x.box[0] if isinstance(x, DeviceTensor) else x


def _shape(x: Any) -> Any:
    if isinstance(x, DeviceTensor):
        return x.shape_tensor
    return torch.empty_like(x, device="meta") if isinstance(x, torch.Tensor) else x
