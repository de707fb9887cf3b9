"""Measurements that are kept as files, so that a stopped benchmark continues with the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from xner_ray.storage.atomic import write_json
from xner_ray.storage.fingerprint import fingerprint, hash_folder

ROOT = Path(__file__).parents[1]


class Kept:
    """A folder of measurements. Each one belongs to its inputs and to the code of xner_ray and bench.

    Args:
        folder: is made with the first measurement.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, inputs: dict[str, Any], measure: Callable[[], Any]) -> Any:
        """Return the kept measurement of these inputs, or measure and keep it.

        Args:
            inputs: all that the measurement depends on, as JSON values.
            measure: returns a JSON value.
        """
        file = self.folder / f"{fingerprint({**inputs, 'code': self._code})}.json"
        if not file.exists():
            value = measure()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(file, {"inputs": inputs, "value": value})
        return json.loads(file.read_text(encoding="utf-8"))["value"]

    @cached_property
    def _code(self) -> list[str]:
        return [hash_folder(ROOT / package, ("**/*.py",)) for package in ("xner_ray", "bench")]
