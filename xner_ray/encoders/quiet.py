"""transformers without its reports and bars, where what it reports is what we asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the report of missing heads and poolers: a new head is what we ask for."""
    from transformers.utils import logging as hf

    level = hf.get_verbosity()
    bars = hf.is_progress_bar_enabled()
    hf.set_verbosity_error()
    hf.disable_progress_bar()
    try:
        yield
    finally:
        hf.set_verbosity(level)
        if bars:
            hf.enable_progress_bar()
