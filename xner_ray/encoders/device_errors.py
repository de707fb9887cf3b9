"""What an error of torch says about its GPU. Most of them are a RuntimeError, so its text decides. This module needs no torch."""

from __future__ import annotations

# The process can use its GPU after these. cuBLAS reports one if there is no memory for its workspace.
_EXHAUSTED = ("OutOfMemoryError", "CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_NO_GPU = "torch sees no GPU"
# After these the process can no longer use its GPU, or could never use it. Every later row would fail too.
_LOST = (
    _NO_GPU,
    "CUDA error",
    "CUDA driver error",
    "CUDA unknown error",
    "CUDA driver initialization failed",
    "No CUDA GPUs are available",
    "device-side assert",
    "CUBLAS_STATUS",
    "cudaErrorLaunchFailure",
)


class NoGpuError(RuntimeError):
    """A model must run on a GPU, and torch sees none: the GPU or its driver failed."""

    def __init__(self) -> None:
        super().__init__(_NO_GPU)


def is_memory_exhausted(error: str) -> bool:
    """Whether a device has no memory left, by the text of an error."""
    return any(text in error for text in _EXHAUSTED)


def exhausts_memory(error: Exception) -> bool:
    """Whether an error says that a device has no memory left, by its class or its text."""
    return is_memory_exhausted(f"{type(error).__name__}: {error}")


def is_device_lost(error: str) -> bool:
    """Whether a process can no longer use its GPU, by the text of an error."""
    return not is_memory_exhausted(error) and any(text in error for text in _LOST)
