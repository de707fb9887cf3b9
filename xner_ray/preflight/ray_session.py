"""The Ray session of this process: a cluster, or a local Ray."""

from __future__ import annotations

import logging
import os
from typing import Any

from xner_ray.config import RayConfig
from xner_ray.errors import UserError


def connect(settings: RayConfig) -> None:
    """Connect to a Ray cluster or start a local Ray, once in each process.

    The cluster is `ray.address` of the config, else RAY_ADDRESS. Without either, a local Ray is started.

    Args:
        settings: section `ray` of the config.

    Raises:
        UserError: a local Ray has fewer GPUs than `ray.max_gpus`.
    """
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")  # the bars would break up the lines of a job's log
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # The driver would print log lines of Ray's C++ core, such as a false alarm for each actor pool. Ray's log files keep them.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    address = settings.address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if ray.is_initialized():
        pass  # the caller connected
    elif address:
        ray.init(address=address, **common)
    else:
        # Ray 2.60 writes a token file at its first use and then requires the token; a local session needs none.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=settings.num_cpus, include_dashboard=False, **common)
        if settings.max_gpus > ray.cluster_resources().get("GPU", 0.0):
            remedy = "set ray.address to a cluster with an autoscaler, or remove ray.max_gpus"
            raise UserError("a local Ray has only the GPUs of this machine", key="ray.max_gpus", remedy=remedy)

    # At INFO Ray Data logs its own progress, and it warns of the memory of small tasks. The driver logs the progress itself.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # Ray Data's own exception arrives without the one that it wraps
    context.issue_detectors_config.detectors = []
