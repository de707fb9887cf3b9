"""What bug reports need, in `run.json`: the config, versions and machine of the last run, and its error. Without secrets."""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xner_ray import __version__
from xner_ray.config import Config
from xner_ray.observability.safe_text import redact
from xner_ray.observability.work_log import read_work
from xner_ray.storage.atomic import write_bytes
from xner_ray.storage.output_dir import RUN
from xner_ray.storage.stage_dir import pretty_json

LAST_RUN = "last_run"
MEASURED = "measured"  # of the last run that did work, see `workflows.plan_costs`
MAX_ERROR_CHARS = 8000
_PACKAGES = ("ray", "torch", "transformers", "tokenizers", "pyarrow")


@contextmanager
def recorded_run(out: Path, config: Config, stages: list[str], log: Callable[[str], None]) -> Iterator[None]:
    """Write the record of a run into `out/run.json` when the block begins and when it ends.

    Args:
        out: the output directory, which this process holds.
        config: of the run.
        stages: that run.
        log: called with a line if the record cannot be written.
    """
    record: dict[str, Any] = {
        "began": _now(),
        "stages": stages,
        "config": without_secrets(config.model_dump(mode="json")),
        "versions": versions(),
        "machine": machine(),
        "error": None,
    }
    num_rows = len(read_work(out))
    _write(out, record, log)
    try:
        yield
    except BaseException as e:
        lines = "".join(traceback.format_exception(e))
        record["error"] = without_secrets({"type": type(e).__name__, "traceback": lines[-MAX_ERROR_CHARS:]})
        _write(out, {**record, "ended": _now()}, log)
        raise
    _write(out, {**record, "ended": _now()}, log, _measured(out, config, num_rows))


def _measured(out: Path, config: Config, num_rows: int) -> dict[str, Any]:
    """The models and the machine of the lines that the run added to the work log. Empty if it added none, or did not use Ray.

    The machine of a later run that finds all stages done must not replace it.
    """
    if len(read_work(out)) == num_rows or "ray" not in sys.modules:
        return {}
    from xner_ray.training.backends.nodes import describe_resources
    from xner_ray.workflows.refresh.cost_estimate import model_names

    resources = describe_resources()
    if resources is None:
        return {}
    models = redact(model_names(config))
    return {MEASURED: {"resources": resources, "models": models, "first_row": num_rows, "ended": _now()}}


def versions() -> dict[str, str]:
    """The versions on which results depend."""
    return {
        "xner_ray": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def machine() -> dict[str, Any]:
    """The machine of the driver."""
    gpus = Path("/proc/driver/nvidia/gpus")
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": len(list(gpus.iterdir())) if gpus.is_dir() else 0,
    }


def without_secrets(value: Any) -> Any:
    """A JSON value, with the secrets in its texts replaced by stars."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def _write(out: Path, record: dict[str, Any], log: Callable[[str], None], more: dict[str, Any] | None = None) -> None:
    """Replace the record. The run does not depend on it, so a disk that is full must not hide the error of the run."""
    try:
        content = json.loads((out / RUN).read_bytes())
        write_bytes(out / RUN, pretty_json({**content, LAST_RUN: record, **(more or {})}), step="record")
    except Exception as e:
        log(f"warning: {out / RUN} was not updated: {type(e).__name__}: {e}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
