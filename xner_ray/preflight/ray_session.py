"""The Ray session of a process: a cluster that it joins, or a local Ray that it starts."""

from __future__ import annotations

import logging
import os
from typing import Any

from xner_ray.config import RayConfig
from xner_ray.errors import UserError


def connect(settings: RayConfig) -> None:
    """ray.init, once a process: `ray.address`, else the cluster around us (RAY_ADDRESS), else a local one."""
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")  # we print lines; Ray's bars garble a job's log
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # The driver prints C++ log lines of Ray's core, such as a false alarm for each actor pool; its files keep them.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    address = settings.address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if ray.is_initialized():
        pass  # by who calls us
    elif address:
        ray.init(address=address, **common)
    else:
        # Ray 2.60 writes a token file on first use and then asks for it; a local session needs none.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=settings.num_cpus, include_dashboard=False, **common)
        if settings.max_gpus > ray.cluster_resources().get("GPU", 0.0):
            remedy = "set ray.address to a cluster with an autoscaler, or leave ray.max_gpus away"
            raise UserError("a local Ray brings no GPUs that are not here", key="ray.max_gpus", remedy=remedy)

    # Ray Data tells its own story at INFO and warns of memory that small tasks use; ours is told by `say`.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # Ray Data's own wrapper arrives without what it wraps
    context.issue_detectors_config.detectors = []
