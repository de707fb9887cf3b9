"""The Ray session of this process: a cluster that the user named, or a local Ray of its own.

A local Ray executes code for whoever reaches its ports and has its token. So it listens on the loopback interface only, and its
token is known to this process and its children alone. Ray 2.60 has no public option for the first: it replaces
`_node_ip_address="127.0.0.1"` by the address of the network. It has a switch that is meant for Windows and macOS.
"""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import logging
import os
import secrets
from collections.abc import Iterator
from typing import Any

from xner_ray.config import RayConfig
from xner_ray.errors import UserError


def cluster_address(settings: RayConfig) -> str | None:
    """The cluster to join: `ray.address`, else RAY_ADDRESS, which Ray sets in a submitted job; None: a local Ray."""
    address = settings.address or os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address


def connect(settings: RayConfig) -> None:
    """Connect to a Ray cluster or start a local Ray, once in each process.

    The cluster is `cluster_address`. Without one a local Ray is started, whatever else runs on this machine.

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

    address = cluster_address(settings)
    if ray.is_initialized():
        pass  # the caller connected
    elif address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    else:
        start_local(num_cpus=settings.num_cpus or min(usable_cpus(), _cpus_of_container()))
        if settings.max_gpus > ray.cluster_resources().get("GPU", 0.0):
            remedy = "set ray.address to a cluster with an autoscaler, or remove ray.max_gpus"
            raise UserError("a local Ray has only the GPUs of this machine", key="ray.max_gpus", remedy=remedy)

    # At INFO Ray Data logs its own progress, and it warns of the memory of small tasks. The driver logs the progress itself.
    # At ERROR it logs two tracebacks of each exception that it also raises, such as a UserError.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # Ray Data's own exception arrives without the one that it wraps
    context.issue_detectors_config.detectors = []


def usable_cpus() -> int:
    """The CPUs that this process may use by its affinity, as taskset and Slurm set it. Ray 2.60 does not read it."""
    return len(os.sched_getaffinity(0))


def _cpus_of_container() -> int:
    from ray._private.utils import get_num_cpus

    return max(1, int(get_num_cpus(override_docker_cpu_warning=True)))


def start_local(**options: Any) -> None:
    """Start a local Ray that only this process and its children can use: on the loopback interface, with a token of its own.

    RAY_AUTH_MODE and the tokens of clusters do not count for it.

    Args:
        options: further arguments of `ray.init`.

    Raises:
        RuntimeError: this version of Ray listens on a network interface, or requires no token. The Ray is shut down.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # The processes of Ray inherit the variables. Others do not get them: they may start a cluster.
    with _environment(**token, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"):
        import ray
        from ray._private import ray_constants

        core: Any = importlib.import_module("ray._raylet")  # compiled, without types

        # Where Ray was imported before, it has read the variables.
        core.Config.initialize("")
        core.AuthenticationTokenLoader.instance().reset_cache()
        clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
        common = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.WARNING}
        try:
            ray.init(address="local", **common | options)
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = clusters
    host, mode = ray.util.get_node_ip_address(), core.get_authentication_mode()
    if not ipaddress.ip_address(host).is_loopback or mode != core.AuthenticationMode.TOKEN:
        ray.shutdown()
        raise RuntimeError(f"the local Ray is not protected: it listens on {host}, and the mode is {mode}")


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables, and restore their values at the end."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
