"""The checks of `xner preflight` that need only facts, so that tests need no GPU, no Ray and no model hub.

Each check returns a short message if all is well. It raises a UserError with a remedy if a run would fail late, run on the wrong
device, or wait forever. `probes.py` collects the facts.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.training.resource_split import cpus_per_worker

AUTH_MODES = ("disabled", "token")
CU126_INDEX = "https://download.pytorch.org/whl/cu126"  # PyTorch has it up to 2.14; CUDA 13 has no kernels for Volta


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        name: of the check; a config key where it checks the value of this key.
        ok: whether the check passed.
        message: what was found.
        remedy: what to do about a problem.
    """

    name: str
    ok: bool
    message: str
    remedy: str | None = None


@dataclass(frozen=True)
class Gpu:
    """A GPU and the torch that is installed on its node.

    Attributes:
        name: of the device, by torch or by Ray.
        capability: compute capability, (7, 0) for a V100; None: torch sees no GPU on the node.
        kernels: the architectures of `torch.cuda.get_arch_list`, such as sm_80.
        torch: version of torch with its build.
    """

    name: str
    capability: tuple[int, int] | None
    kernels: tuple[str, ...]
    torch: str


def run_check(name: str, check: Callable[..., str], *arguments: Any) -> CheckResult:
    """Run a check. Its UserError becomes the result; any other exception is a bug and is raised."""
    try:
        return CheckResult(name, True, check(*arguments))
    except UserError as e:
        return failed(name, e)


def failed(name: str, error: UserError) -> CheckResult:
    """The result of a check that found a problem."""
    file = f"{error.file}:{error.line}" if error.line is not None else str(error.file)
    where = ", ".join([*([file] if error.file is not None else []), *([f"key '{error.key}'"] if error.key else [])])
    return CheckResult(name, False, f"{where}: {error.problem}" if where else error.problem, error.remedy)


def check_auth(address: str | None, mode: str | None, token: str | None) -> str:
    """Check the settings of Ray's token authentication.

    A wrong RAY_AUTH_MODE fails only after 30 s, with an unhelpful error, so it is checked first.

    Args:
        address: of the Ray cluster; None: a local Ray.
        mode: RAY_AUTH_MODE.
        token: file or environment variable that holds a token; None: there is no token.
    """
    if mode is not None and mode.lower() not in AUTH_MODES:
        remedy = f"set it to {' or '.join(AUTH_MODES)}, as the cluster was started"
        raise UserError(f"unknown authentication mode `{mode}`", key="RAY_AUTH_MODE", remedy=remedy)
    if address is None:
        return "a local Ray has a token of its own"
    if mode is None:
        default = f"token, since there is {token}" if token else "disabled, since there is no token"
        return f"RAY_AUTH_MODE is not set; Ray uses {default}"
    if mode.lower() == "token" and token is None:
        remedy = "put the cluster's token into RAY_AUTH_TOKEN or ~/.ray/auth_token; `ray get-auth-token` on the head prints it"
        raise UserError("the mode is token, but there is no token on this machine", key="RAY_AUTH_MODE", remedy=remedy)
    return (
        f"token, from {token}"
        if mode.lower() == "token"
        else "disabled: any process that reaches the head can run code on it"
    )


def check_gpu(gpu: Gpu) -> str:
    """Check that this build of torch has kernels for the GPU. Without them torch fails late, at its first kernel."""
    if gpu.capability is None:
        remedy = (
            "look at it with nvidia-smi; if it works, install a CUDA build of torch that the node's driver supports"
        )
        remedy += f", for V100 from {CU126_INDEX}"
        raise UserError(f"torch {gpu.torch} sees no GPU on a node that has {gpu.name}", remedy=remedy)
    architecture = f"{gpu.name} (sm_{gpu.capability[0]}{gpu.capability[1]})"
    if any(_can_run(kernels, gpu.capability) for kernels in gpu.kernels):
        return f"{architecture}, torch {gpu.torch} has kernels for it"
    old = gpu.capability < (7, 5)
    index = CU126_INDEX if old else "the index of https://pytorch.org that names its CUDA version"
    remedy = f"install torch=={gpu.torch.partition('+')[0]} from {index}"
    if old:
        remedy += ", the last one whose wheels have them (see cluster/Dockerfile)"
    kernels = " ".join(gpu.kernels) or "none"
    raise UserError(
        f"this build of torch, {gpu.torch}, has no kernels for {architecture}, only {kernels}", remedy=remedy
    )


def _can_run(kernels: str, capability: tuple[int, int]) -> bool:
    """Binary kernels run on later minor versions of their major version, PTX on all later ones, those with a suffix on one."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", kernels)
    if not match:
        return False
    kind, major, minor, suffix = match[1], int(match[2]), int(match[3]), match[4]
    if suffix:
        return (major, minor) == capability
    return (major, minor) <= capability and (kind == "compute" or major == capability[0])


def check_precision(gpu: Gpu, precisions: Mapping[str, str]) -> str:
    """Check that the GPU supports the precisions of the config.

    Args:
        gpu: the device.
        precisions: auto, fp32, bf16 or fp16, by config key.
    """
    if gpu.capability is None:
        raise UserError(f"torch sees no {gpu.name}", remedy="see the check of the GPU's kernels")
    has_bf16 = gpu.capability >= (8, 0)
    for key, precision in precisions.items():
        if precision == "bf16" and not has_bf16:
            raise UserError(f"{gpu.name} has no bf16", key=key, remedy=f"set {key}=fp16 or auto")
    auto = "bf16" if has_bf16 else "fp16, with loss scaling in training"
    fixed = ", ".join(f"{key}={precision}" for key, precision in precisions.items() if precision != "auto")
    return f"auto is {auto}" + (f"; {fixed}" if fixed else "")


@contextlib.contextmanager
def committed_precision(precision: str | None, kind: str | None = None) -> Iterator[None]:
    """Explain a GPU without the precision of the committed shards, which no value of `label.precision` can change.

    Args:
        precision: of the committed shards; None: no shard is committed, so the config decides.
        kind: of their GPU, by Ray's name; None: not known.

    Raises:
        UserError: the check in the block found no such precision.
    """
    try:
        yield
    except UserError as e:
        error = getattr(e, "cause", e)  # Ray wraps the error of a task
        if precision is None or error.key != "label.precision" or precision not in error.problem:
            raise
        name = f"set label.accelerator_type={kind}" if kind else "set label.accelerator_type to a kind of GPU that"
        raise UserError(
            f"{error.problem}, and the committed shards of this run are in {precision}",
            key="label.accelerator_type",
            remedy=f"{name}{', which' if kind else ''} has {precision}; or label all shards again with label.precision=fp16",
        ) from None


def configured_precisions(config: Config) -> dict[str, str]:
    """Every precision of a config, by its key."""
    precisions: dict[str, str] = {
        "label.precision": config.label.precision,
        "teacher.training.precision": config.teacher.training.precision,
        "aligner.training.precision": config.aligner.training.precision,
        "student.training.precision": config.student.training.precision,
    }
    if config.student.source_training:
        precisions["student.source_training.precision"] = config.student.source_training.precision
    return precisions


def first_unplaced(
    requests: Iterable[Mapping[str, float]], nodes: Iterable[Mapping[str, float]]
) -> Mapping[str, float] | None:
    """Place resource requests on nodes, each on the first node with room.

    Args:
        requests: resources of each actor, by Ray's names (CPU, GPU).
        nodes: resources of each node.

    Returns:
        The first request for which no node has room; None: all are placed.
    """
    free = [dict(node) for node in nodes]
    for request in requests:
        node = next((f for f in free if all(f.get(k, 0.0) + 1e-6 >= v for k, v in request.items())), None)
        if node is None:
            return request
        for name, amount in request.items():
            node[name] -= amount
    return None


def require_cpus(nodes: Iterable[Mapping[str, float]], max_gpus: int) -> None:
    """Check that a node offers CPUs, or that an autoscaler may start one. The head of `cluster/` offers none.

    Raises:
        UserError: tasks would wait forever.
    """
    if not max_gpus and not any(node.get("CPU", 0.0) for node in nodes):
        remedy = "set ray.max_gpus to the number of GPUs that the autoscaler may start, or start a worker"
        raise UserError("no node that is up offers CPUs", key="ray.max_gpus", remedy=remedy)


def check_training(
    nodes: list[dict[str, float]], workers: int, min_workers: int | None = None, max_gpus: int = 0
) -> str:
    """Check that the training workers fit on the nodes.

    A worker takes a GPU or, where there are no GPUs, as many CPUs as fit; see `training.backends.dispatch`.

    Args:
        nodes: resources of each node that is up.
        workers: `ray.train_workers` of the config.
        min_workers: `ray.min_train_workers`.
        max_gpus: `ray.max_gpus`.
    """
    require_cpus(nodes, max_gpus)
    gpus_up, min_workers = math.floor(sum(node.get("GPU", 0.0) for node in nodes)), min_workers or workers
    gpus = max(gpus_up, max_gpus)
    if 0 < gpus < min_workers:
        raise UserError(
            f"{min_workers} workers and {gpus} GPUs: they would train on CPUs",
            key="ray.train_workers",
            remedy=f"set ray.train_workers={gpus}, or add nodes with GPUs",
        )
    number = f"{min_workers} to {workers}" if min_workers < workers else f"{workers}"
    number += f" training worker{'s'[: workers > 1]}"
    if gpus_up < min_workers and gpus:
        return f"{number} with a GPU each, once the autoscaler brings them"
    request = {"CPU": 1.0, "GPU": 1.0} if gpus else {"CPU": float(cpus_per_worker(nodes, workers))}
    if first_unplaced([request] * min_workers, nodes) is not None:
        resources = " and ".join(f"{amount:g} {name}" for name, amount in request.items())
        largest = max((int(node.get("CPU", 0.0)) for node in nodes), default=0)
        raise UserError(
            f"no node has room for a worker that takes {resources}, beside the others: training would wait forever",
            key="ray.train_workers",
            remedy=f"choose workers that fit on a node (the largest has {largest} CPUs): more workers on CPUs, fewer on GPUs",
        )
    each = "a GPU" if gpus else f"{request['CPU']:g} CPUs"
    return f"{number} with {each} each"


def configured_models(config: Config) -> dict[str, str]:
    """Every model that a run over this config opens, as the config has it, by the key that names it."""
    models = (
        {"teacher.model": config.teacher.model}
        if config.teacher.model
        else {"teacher.encoder": config.teacher.encoder}
    )
    models["aligner.encoder"] = config.aligner.encoder
    students = config.student.encoder
    for i, encoder in enumerate([students] if isinstance(students, str) else students):
        models["student.encoder" if isinstance(students, str) else f"student.encoder.{i}"] = encoder
    if config.aligner.translator and config.aligner.example_sources.get("translator"):
        for language in config.languages:
            models[f"aligner.translator ({language})"] = config.fill(config.aligner.translator, language)
    return models


def check_model_files(key: str, model: str, files: Iterable[str]) -> str:
    """Check the files of a repository on the model hub. Pickled weights can run code, so only safetensors are accepted."""
    names = set(files)
    if "config.json" not in names:
        raise UserError(f"`{model}` has no config.json", key=key, remedy="name a model of Transformers")
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        remedy = "name a revision or a copy with safetensors: model.save_pretrained writes them"
        raise UserError(f"`{model}` has no *.safetensors", key=key, remedy=remedy)
    return f"{model}: the hub has its safetensors"


def refuse_url(out: str) -> None:
    """Check that `out` is a folder. Models and checkpoints need a file system; only labeled shards can be in a bucket.

    Raises:
        UserError: it is a URL.
    """
    if "://" in out:
        remedy = "give a folder that all nodes share; only labeled shards can be in a bucket, see label.output_uri"
        raise UserError("models need a file system", file=out, key="out", remedy=remedy)
