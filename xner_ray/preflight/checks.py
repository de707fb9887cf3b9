"""What `xner preflight` asks, as plain functions over facts, so that a test needs no GPU, no Ray and no hub to ask it.

Each returns a few words where all is well, and raises a UserError with its remedy where a run would end late, run on the wrong
device, or wait for ever. Where the facts come from is `survey.py`'s business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.training.resource_split import cpus_each

AUTH_MODES = ("disabled", "token")
OLD_GPUS = "https://download.pytorch.org/whl/cu126"  # kept by PyTorch up to 2.14; CUDA 13 has no Volta at all


@dataclass(frozen=True)
class Finding:
    """One line of a preflight: what was looked at, whether it is well, and what to do where it is not."""

    name: str
    ok: bool
    told: str
    remedy: str | None = None


@dataclass(frozen=True)
class Gpu:
    """A GPU and the torch beside it.

    Attributes:
        name: as the device, or Ray, names it.
        capability: its architecture, (7, 0) for a V100; None: torch sees no GPU on its node.
        kernels: what `torch.cuda.get_arch_list` gives, such as sm_80.
        torch: version of torch with its build.
    """

    name: str
    capability: tuple[int, int] | None
    kernels: tuple[str, ...]
    torch: str


def finding(name: str, check: Callable[..., str], *args: Any) -> Finding:
    """Run a check; a UserError is its problem, any other exception is a bug of ours and passes."""
    try:
        return Finding(name, True, check(*args))
    except UserError as e:
        where = ", ".join([*([str(e.file)] if e.file is not None else []), *([f"key '{e.key}'"] if e.key else [])])
        return Finding(name, False, f"{where}: {e.problem}" if where else e.problem, e.remedy)


def check_auth(address: str | None, mode: str | None, token: str | None) -> str:
    """Ray's token: who guesses its mode wrong waits half a minute for an error that names neither mode nor token.

    Args:
        address: of the cluster to join; None: a local Ray.
        mode: RAY_AUTH_MODE.
        token: where a token was found; None: nowhere.
    """
    if mode is not None and mode.lower() not in AUTH_MODES:
        remedy = f"set it to {' or '.join(AUTH_MODES)}, as the cluster was started"
        raise UserError(f"`{mode}` is no mode of Ray's authentication", key="RAY_AUTH_MODE", remedy=remedy)
    if address is None:
        return "a local Ray needs no token"
    if mode is None:
        guess = f"token, since there is {token}" if token else "disabled, since there is no token"
        return f"RAY_AUTH_MODE is not set, so Ray takes it as {guess}"
    if mode.lower() == "token" and token is None:
        remedy = "put the cluster's token into RAY_AUTH_TOKEN or ~/.ray/auth_token; on the head `ray get-auth-token` tells it"
        raise UserError("the mode is token, and there is none here", key="RAY_AUTH_MODE", remedy=remedy)
    return f"token, from {token}" if mode.lower() == "token" else "disabled: whoever reaches the head runs code on it"


def check_gpu(gpu: Gpu) -> str:
    """See that this build of torch has kernels for the GPU: it names no remedy itself, and fails at the first kernel."""
    if gpu.capability is None:
        remedy = f"install a CUDA build of torch that the node's driver supports; for V100 from {OLD_GPUS}"
        raise UserError(f"torch {gpu.torch} sees no GPU on a node that has {gpu.name}", remedy=remedy)
    if any(_runs(kernels, gpu.capability) for kernels in gpu.kernels):
        return f"{gpu.name} (sm_{gpu.capability[0]}{gpu.capability[1]}), torch {gpu.torch} has kernels for it"
    release = gpu.torch.partition("+")[0]
    index = OLD_GPUS if gpu.capability < (7, 5) else "the index of https://pytorch.org that names its CUDA"
    remedy = f"install torch=={release} from {index}"
    if gpu.capability < (7, 5):
        remedy += ", the last whose wheels hold them (cluster/Dockerfile does)"
    held = " ".join(gpu.kernels) or "none"
    told = f"has no kernels for {gpu.name} (sm_{gpu.capability[0]}{gpu.capability[1]}), only {held}"
    raise UserError(f"this build of torch, {gpu.torch}, {told}", remedy=remedy)


def _runs(kernels: str, capability: tuple[int, int]) -> bool:
    """Binary kernels run on later minors of their major, PTX on all that is later, those with a suffix on their own alone."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", kernels)
    if not match:
        return False
    kind, major, minor, suffix = match[1], int(match[2]), int(match[3]), match[4]
    if suffix:
        return (major, minor) == capability
    return (major, minor) <= capability and (kind == "compute" or major == capability[0])


def check_precision(gpu: Gpu, wanted: Mapping[str, str]) -> str:
    """See that the GPU has what the config asks for.

    Args:
        wanted: by config key auto, fp32, bf16 or fp16.
    """
    if gpu.capability is None:
        raise UserError(f"torch sees no {gpu.name}", remedy="see the check of the GPU's kernels")
    has_bf16 = gpu.capability >= (8, 0)
    for key, precision in wanted.items():
        if precision == "bf16" and not has_bf16:
            raise UserError(f"{gpu.name} has no bf16", key=key, remedy=f"set {key}=fp16 or auto")
    auto = "bf16" if has_bf16 else "fp16, with loss scaling in training"
    fixed = ", ".join(f"{key}={precision}" for key, precision in wanted.items() if precision != "auto")
    return f"auto is {auto}" + (f"; {fixed}" if fixed else "")


def precisions(config: Config) -> dict[str, str]:
    """Every precision that a config asks for, by its key."""
    found: dict[str, str] = {
        "label.precision": config.label.precision,
        "teacher.training.precision": config.teacher.training.precision,
        "aligner.training.precision": config.aligner.training.precision,
        "student.training.precision": config.student.training.precision,
    }
    if config.student.source_training:
        found["student.source_training.precision"] = config.student.source_training.precision
    return found


def unplaced(asked: Iterable[Mapping[str, float]], nodes: Iterable[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The first of what is asked for that no node has room for, beside the others; None: all find a place.

    Args:
        asked: by actor what it takes, by Ray's names (CPU, GPU).
        nodes: by node what it has.
    """
    free = [dict(node) for node in nodes]
    for want in asked:
        node = next((f for f in free if all(f.get(k, 0.0) + 1e-6 >= v for k, v in want.items())), None)
        if node is None:
            return want
        for name, amount in want.items():
            node[name] -= amount
    return None


def check_training(nodes: list[dict[str, float]], workers: int, fewest: int | None = None, max_gpus: int = 0) -> str:
    """Training workers take a GPU each or, where there is none, as many CPUs as fit; see `ray_train.fit`.

    Args:
        nodes: that are up.
        workers, fewest, max_gpus: `train_workers`, `min_train_workers` and `max_gpus` of the config's `ray`.
    """
    up, fewest = math.floor(sum(node.get("GPU", 0.0) for node in nodes)), fewest or workers
    gpus = max(up, max_gpus)
    if 0 < gpus < fewest:
        raise UserError(
            f"{fewest} workers and {gpus} GPUs: they would train on CPUs",
            key="ray.train_workers",
            remedy=f"set ray.train_workers={gpus}, or add nodes with GPUs",
        )
    many = f"{fewest} to {workers}" if fewest < workers else f"{workers}"
    many += f" training worker{'s'[: workers > 1]}"
    if up < fewest and gpus:
        return f"{many} with a GPU each, once the autoscaler brings them"
    asked = {"CPU": 1.0, "GPU": 1.0} if gpus else {"CPU": float(cpus_each(nodes, workers))}
    if unplaced([asked] * fewest, nodes) is not None:
        told = " and ".join(f"{amount:g} {name}" for name, amount in asked.items())
        largest = max((int(node.get("CPU", 0.0)) for node in nodes), default=0)
        raise UserError(
            f"no node has room for a worker that takes {told}, beside the others: training would wait for ever",
            key="ray.train_workers",
            remedy=f"let each worker fit a node (the largest has {largest} CPUs): more workers on CPUs, fewer on GPUs",
        )
    each = "a GPU" if gpus else f"{asked['CPU']:g} CPUs"
    return f"{many} with {each} each"


def models_of(config: Config) -> dict[str, str]:
    """Every model that a run over this config opens, by the key that names it; values as the config has them."""
    found = (
        {"teacher.model": config.teacher.model}
        if config.teacher.model
        else {"teacher.encoder": config.teacher.encoder}
    )
    found["aligner.encoder"] = config.aligner.encoder
    students = config.student.encoder
    for i, encoder in enumerate([students] if isinstance(students, str) else students):
        found["student.encoder" if isinstance(students, str) else f"student.encoder.{i}"] = encoder
    if config.aligner.translator and config.aligner.example_sources.get("translator"):
        for language in config.languages:
            found[f"aligner.translator ({language})"] = config.fill(config.aligner.translator, language)
    return found


def check_model_files(key: str, model: str, files: Iterable[str]) -> str:
    """What a hub's repository must hold; weights that are pickled are code, and are refused."""
    names = set(files)
    if "config.json" not in names:
        raise UserError(f"`{model}` holds no config.json", key=key, remedy="name a model of transformers")
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        remedy = "name a revision or a copy with safetensors: model.save_pretrained writes them"
        raise UserError(f"`{model}` holds no *.safetensors", key=key, remedy=remedy)
    return f"{model}: the hub has its safetensors"


def refuse_url(out: str) -> None:
    """Models and checkpoints are folders; only labeled shards may lie in a bucket."""
    if "://" in out:
        remedy = "give a folder that all nodes share, and the bucket for labeled shards with label.output_uri=..."
        raise UserError("models need a file system", file=out, key="out", remedy=remedy)
