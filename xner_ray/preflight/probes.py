"""The checks of `xner preflight`, in order: cluster, actors, training, GPUs, files, storage, models.

A preflight reserves, trains and downloads nothing, and it deletes what it writes. The checks go on after a problem, so that one
preflight shows all problems. Checks that need the shards or the models run later, in the labeling stage (`labeling_checks.py`).
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from xner_ray.alignment.examples.translator import KEY as TRANSLATOR_KEY
from xner_ray.alignment.examples.translator import Translator
from xner_ray.config import Config
from xner_ray.corpora.opus.resolve import resolve_corpora
from xner_ray.errors import UserError
from xner_ray.labeling.pools import plan_pools
from xner_ray.preflight import checks
from xner_ray.preflight.checks import CheckResult, refuse_url, run_check
from xner_ray.preflight.cluster import LocalMachine, Machines, RayCluster
from xner_ray.preflight.input_checks import check_inputs, describe_languages
from xner_ray.preflight.labeling_checks import check_placement, wait_for_resources
from xner_ray.preflight.ray_session import cluster_address
from xner_ray.preflight.workload import SharesToDo, check_hours
from xner_ray.storage.atomic import random_id
from xner_ray.storage.blob_store import open_blob_store
from xner_ray.storage.shard_store import ShardStore

MANY_SHARDS = 1_000_000  # assumed where the config does not limit the pairs


def run_checks(
    config: Config, config_file: str | Path = "", to_do: Callable[[], SharesToDo] | None = None
) -> Iterator[CheckResult]:
    """Run every check, and yield its result as soon as it is known.

    Args:
        config: the checked config.
        config_file: for messages.
        to_do: see `check_hours`.
    """
    address = cluster_address(config.ray)
    auth = run_check("auth", checks.check_auth, address, os.environ.get("RAY_AUTH_MODE"), token_source())
    yield auth
    machines = None
    if auth.ok:
        try:
            machines = RayCluster(config.ray, address) if address else LocalMachine(config.ray)
            yield CheckResult("cluster", True, _describe_cluster(config, machines))
        except UserError as e:
            yield CheckResult("cluster", False, f"{e.file}: {e.problem}", e.remedy)
    if machines is not None:
        workers = (config.ray.train_workers, config.ray.min_train_workers, config.ray.max_gpus)
        yield run_check("labeling", check_actors, config, machines)
        yield run_check("training", checks.check_training, machines.nodes, *workers)
        yield run_check("hours", check_hours, config, machines, to_do)
        yield from _check_gpus(config, machines)
    yield from _check_files(config, config_file)
    yield run_check("out", check_storage, config.out, machines, True)
    if store := config.label.output_uri:
        yield run_check("label.output_uri", check_storage, store, machines)
    if publish := config.refresh.publish:
        yield run_check("refresh.publish", check_storage, publish, machines)
    load = cache(partial(Translator, device="cpu"))  # one model may translate from several languages
    translators = {f"{TRANSLATOR_KEY} ({language})": language for language in config.languages}
    for key, model in checks.configured_models(config).items():
        if language := translators.get(key):
            yield run_check(key, check_translator, load, key, model, language, config.source_language)
        else:
            yield run_check(key, check_model, key, model)


def _check_files(config: Config, config_file: str | Path) -> Iterator[CheckResult]:
    """The files of the config, and whether its parts fit together."""
    if any(corpus.opus for corpus in config.corpora) and config.opus.catalog == "package":
        try:
            config = resolve_corpora(config, lambda line: None)
        except UserError as e:
            yield checks.failed("corpora", e)
    report = check_inputs(config, config_file)
    for warning in report.warnings:
        yield CheckResult("files", True, f"warning: {warning.removeprefix('warning: ')}")
    for problem in report.problems:
        yield checks.failed("files", problem)
    if not report.problems:
        yield CheckResult("files", True, f"{report.files} files fit together; {describe_languages(config)}")


def token_source() -> str | None:
    """The file or environment variable where Ray finds its token, in the order in which Ray looks; None: there is no token."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "RAY_AUTH_TOKEN"
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return path if Path(path).is_file() else None
    default = Path.home() / ".ray" / "auth_token"
    return str(default) if default.is_file() else None


def _describe_cluster(config: Config, machines: Machines) -> str:
    cpus, gpus = (sum(node.get(name, 0.0) for node in machines.nodes) for name in ("CPU", "GPU"))
    text, max_gpus = f"{machines.description}: {cpus:g} CPUs, {gpus:g} GPUs", config.ray.max_gpus
    return text + (f" now; it can grow to {max_gpus} (ray.max_gpus)" if max_gpus > gpus else "")


def check_actors(config: Config, machines: Machines) -> str:
    """Check that the labeling actors fit on the nodes and that their resources are free.

    Raises:
        UserError: they would wait forever.
    """
    checks.require_cpus(machines.nodes, config.ray.max_gpus)
    pairs, shard_rows = config.ingest.max_pairs_per_language, config.ingest.shard_rows
    shards = math.ceil(pairs / shard_rows) * len(config.languages) if pairs else MANY_SHARDS
    pools = plan_pools(config.label, machines.nodes, shards, config.ray.max_gpus)
    if pools.autoscaling:
        return str(pools)
    check_placement(pools, machines.nodes)
    wait_for_resources(pools, machines.available)
    return f"{pools}: every actor fits on a node"


def _check_gpus(config: Config, machines: Machines) -> Iterator[CheckResult]:
    """Kernels and precision of each kind of GPU that is up."""
    if config.label.null_model:
        return  # no model runs, and the GPUs of such a cluster may be fake
    if not any(node.get("GPU", 0.0) for node in machines.nodes):
        if config.ray.max_gpus:
            yield CheckResult("gpu", True, "no GPU is up yet; the label stage checks the first one")
        return
    try:
        gpus = machines.gpus()
    except UserError as e:
        yield CheckResult("gpu", False, e.problem, e.remedy)
        return
    for gpu in gpus:
        kernels = run_check(f"gpu {gpu.name}", checks.check_gpu, gpu)
        yield kernels
        if kernels.ok:
            precisions = checks.configured_precisions(config)
            yield run_check(f"precision on {gpu.name}", checks.check_precision, gpu, precisions)


def check_storage(root: str, machines: Machines | None, models: bool = False) -> str:
    """Check that every node can write to a store, create a file only if it is absent, and see what another node wrote.

    Args:
        root: folder or URL; it need not exist.
        machines: whose nodes are checked; None: only this machine is.
        models: models are saved there too, which need a file system.
    """
    if models:
        refuse_url(root)
    local = "://" not in root or root.startswith("file://")
    root = f"{Path(root.removeprefix('file://')).absolute()}" if local else root.rstrip("/")
    ShardStore(root).probe()
    store, marker = open_blob_store(root), f"probe.{random_id()}.tmp"
    store.write(marker, b"", "probe")
    try:
        problems = machines.on_each_node(storage_problem, root, marker) if machines else {}
    finally:
        store.delete(marker)
    for node, problem in problems.items():
        if problem:
            remedy = "give a folder that all nodes share (NFS, EFS, Filestore), or let all nodes use the bucket"
            raise UserError(f"node {node}: {problem}", file=root, remedy=remedy)
    free = f", {shutil.disk_usage(root).free / 1e9:,.0f} GB free" if local else ""
    nodes = f"{len(problems) or 1} node{'s'[: len(problems) > 1]}"
    return f"{root}: {nodes} can write and create only where absent{free}"


def storage_problem(root: str, marker: str) -> str:
    """Check a store from this node.

    Args:
        root: folder or URL.
        marker: name of a file that the driver wrote.

    Returns:
        The problem; an empty string: there is none.
    """
    try:
        if not open_blob_store(root).exists(marker):
            return "does not see what the driver wrote there"
        ShardStore(root).probe()
    except UserError as e:
        return e.problem
    return ""


def check_model(key: str, model: str) -> str:
    """Check a model of the config. Local folders and packages are opened; of a model on the hub only the file names are read.

    Args:
        key: config key that names the model.
        model: value of the key.
    """
    from xner_ray.encoders.load import encoder_folder
    from xner_ray.ner.external_teacher import SPACY_PREFIX, resolve_model

    if model.startswith(SPACY_PREFIX) or model in ("embedded", "tiny") or Path(model).is_dir():
        (resolve_model if key == "teacher.model" else encoder_folder)(model)
        return f"{model} is available locally"
    return checks.check_model_files(key, model, _hub_files(key, model))


def check_translator(load: Callable[[str], Translator], key: str, model: str, language: str, into: str) -> str:
    """Load a translator on the CPU and translate one name. Of a model that is only on the hub the file names are read.

    Args:
        load: opens a folder.
        key: config key that names the model.
        model: value of the key.
        language: of the names.
        into: of their translations.

    Raises:
        UserError: the model cannot be loaded, or does not translate between these languages.
    """
    from xner_ray.encoders.load import local_encoder

    folder = local_encoder(model)
    if folder is None:
        return check_model(key, model)
    load(str(folder)).between(language, into)(["Berlin"])
    return f"{model} translates from {language} to {into}"


def _hub_files(key: str, model: str) -> list[str]:
    """Names of a repository's files on the hub; those in the local cache, if the hub cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        return [sibling.rfilename for sibling in HfApi().model_info(model, timeout=10).siblings or []]
    except Exception as e:  # the errors of the hub's HTTP clients have no common base class
        try:
            cached = Path(snapshot_download(model, local_files_only=True))
        except (ValueError, OSError):
            problem = f"`{model}` is not a local folder, and the hub does not show it ({type(e).__name__})"
            remedy = "check the name, HF_TOKEN and the connection to the hub, or give a local folder"
            raise UserError(problem, key=key, remedy=remedy) from e
        return [path.name for path in cached.iterdir()]
