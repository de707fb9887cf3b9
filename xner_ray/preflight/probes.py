"""`xner preflight`: the facts of cluster, storage and models, each held against the config; the checks are in `checks.py`.

Nothing is claimed, trained or downloaded, and what is written is taken away again. A check that fails does not end the
survey, so that one look shows all there is to mend. What needs data (room for shards, models that answer) the labeling
stage looks at when it has them (`preflight.py`).
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.labeling.pools import plan_pools
from xner_ray.preflight import checks
from xner_ray.preflight.checks import Finding, finding, refuse_url
from xner_ray.preflight.cluster import LocalMachine, Machines, RayCluster
from xner_ray.preflight.labeling_checks import check_placement, wait_for_resources
from xner_ray.storage.atomic import random_id
from xner_ray.storage.blob_store import open_blob_store
from xner_ray.storage.shard_store import ShardStore

MANY = 1_000_000  # shards, where a config takes all pairs there are


def survey(config: Config) -> Iterator[Finding]:
    """Look at everything, one finding after another."""
    address = config.ray.address or os.environ.get("RAY_ADDRESS")
    auth = finding("auth", checks.check_auth, address, os.environ.get("RAY_AUTH_MODE"), token_source())
    yield auth
    machines = None
    if auth.ok:
        try:
            machines = RayCluster(config.ray, address) if address else LocalMachine(config.ray)
            yield Finding("cluster", True, _cluster(config, machines))
        except UserError as e:
            yield Finding("cluster", False, f"{e.file}: {e.problem}", e.remedy)
    if machines is not None:
        workers = (config.ray.train_workers, config.ray.min_train_workers, config.ray.max_gpus)
        yield finding("labeling", _labeling, config, machines)
        yield finding("training", checks.check_training, machines.nodes, *workers)
        yield from _gpus(config, machines)
    yield finding("out", check_storage, config.out, machines, True)
    if store := config.label.output_uri:
        yield finding("label.output_uri", check_storage, store, machines)
    if publish := config.refresh.publish:
        yield finding("refresh.publish", check_storage, publish, machines)
    for key, model in checks.models_of(config).items():
        yield finding(key, check_model, key, model)


def token_source() -> str | None:
    """Where Ray would find its token, in the order in which it looks; None: nowhere."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return path if Path(path).is_file() else None
    default = Path.home() / ".ray" / "auth_token"
    return str(default) if default.is_file() else None


def _cluster(config: Config, machines: Machines) -> str:
    has = {name: sum(node.get(name, 0.0) for node in machines.nodes) for name in ("CPU", "GPU")}
    told, most = f"{machines.where}: {has['CPU']:g} CPUs, {has['GPU']:g} GPUs", config.ray.max_gpus
    return told + (f" now; ray.max_gpus says that it grows to {most}" if most > has["GPU"] else "")


def _labeling(config: Config, machines: Machines) -> str:
    """The deadlocks of `preflight.py`, for as many shards as the config can give."""
    pairs, rows = config.ingest.max_pairs_per_language, config.ingest.shard_rows
    shards = math.ceil(pairs / rows) * len(config.languages) if pairs else MANY
    pools = plan_pools(config.label, machines.nodes, shards, config.ray.max_gpus)
    if pools.grow:
        return pools.told
    check_placement(pools, machines.nodes)
    wait_for_resources(pools, machines.available)
    return f"{pools.told}: all find their place"


def _gpus(config: Config, machines: Machines) -> Iterator[Finding]:
    """Kernels and precision of each kind of GPU that is up."""
    if config.label.null_model:
        return  # answers are made up on CPUs, and the GPUs of such a cluster may be
    if not any(node.get("GPU", 0.0) for node in machines.nodes):
        if config.ray.max_gpus:
            yield Finding("gpu", True, "none is up yet; labeling looks at the first that comes")
        return
    try:
        found = machines.gpus()
    except UserError as e:
        yield Finding("gpu", False, e.problem, e.remedy)
        return
    for gpu in found:
        kernels = finding(f"gpu {gpu.name}", checks.check_gpu, gpu)
        yield kernels
        if kernels.ok:
            yield finding(f"precision on {gpu.name}", checks.check_precision, gpu, checks.precisions(config))


def check_storage(root: str, machines: Machines | None, models: bool = False) -> str:
    """Write here, create only where absent, and see it all from every node.

    Args:
        root: a folder or URL; it need not be there.
        machines: whose nodes are asked; None: only this one is.
        models: models will lie there too, which need a file system.
    """
    if models:
        refuse_url(root)
    local = "://" not in root or root.startswith("file://")
    root = f"{Path(root.removeprefix('file://')).absolute()}" if local else root.rstrip("/")
    ShardStore(root).probe()
    place, marker = open_blob_store(root), f"probe.{random_id()}.tmp"
    place.put(marker, b"", "probe")
    try:
        answers = machines.everywhere(sees, root, marker) if machines else {}
    finally:
        place.remove(marker)
    for node, problem in answers.items():
        if problem:
            remedy = "give a folder that all nodes share (NFS, EFS, Filestore), or let all nodes use the bucket"
            raise UserError(f"node {node}: {problem}", file=root, remedy=remedy)
    room = f", {shutil.disk_usage(root).free / 1e9:,.0f} GB free" if local else ""
    return f"{root}: {len(answers) or 1} node{'s'[: len(answers) > 1]} can write and create only where absent{room}"


def sees(root: str, marker: str) -> str:
    """What is wrong with a store as this node sees it; nothing: an empty string."""
    try:
        if not open_blob_store(root).exists(marker):
            return "does not see what was written there from the driver"
        ShardStore(root).probe()
    except UserError as e:
        return e.problem
    return ""


def check_model(key: str, model: str) -> str:
    """Folders and packages are opened; of the hub's models only the list of files is asked for."""
    from xner_ray.encoders.load import encoder_folder
    from xner_ray.ner.external_teacher import SPACY_PREFIX, resolve_model

    if model.startswith(SPACY_PREFIX) or model in ("embedded", "tiny") or Path(model).is_dir():
        (resolve_model if key == "teacher.model" else encoder_folder)(model)
        return f"{model} is here"
    return checks.check_model_files(key, model, _hub_files(key, model))


def _hub_files(key: str, model: str) -> list[str]:
    """Names of a repository's files: the hub's or, where it is out of reach, those that are cached here."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        return [sibling.rfilename for sibling in HfApi().model_info(model, timeout=10).siblings or []]
    except Exception as e:  # the errors of whichever HTTP client the hub's library uses have no base of their own
        try:
            cached = Path(snapshot_download(model, local_files_only=True))
        except (ValueError, OSError):
            problem = f"`{model}` is no folder here, and the hub does not show it ({type(e).__name__})"
            remedy = "check the name, HF_TOKEN and the way to the hub, or give a folder that this machine sees"
            raise UserError(problem, key=key, remedy=remedy) from e
        return [path.name for path in cached.iterdir()]
