"""The config of a study: the config file, then the study's `override`, then the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from xner_ray.config import Config
from xner_ray.config.load import load_config


def load_study_config(name: str, path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config for `xner study NAME`.

    Args:
        name: ablation, size, domain or loss.
        path: the YAML file.
        overrides: `key=value`, see `load_config`. They take precedence over `study.NAME.override` of the file.

    Raises:
        UserError: the config is wrong.
    """
    of_study = getattr(load_config(path, overrides).study, name).override
    return load_config(
        path, [*(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in of_study.items()), *overrides]
    )
