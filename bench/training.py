"""The training loop against forward and backward passes of tensors that are ready; and how its workers are best cut.

    python -m bench.training --start ENCODER_FOLDER --tokens 60000 --json OUT         the loop, on one core
    python -m bench.training --workers --cores 0,1 --start ENCODER_FOLDER --json OUT  how to use two cores

`bare` runs the same micro-batches of the same steps through the same model with the same dropout, frozen parts and loss, padded
and on the device beforehand: no optimizer, no clipping, no plan. The data are random rows with the lengths of sentences, so
only time means something. Keys: `loop`, `bare` (tokens_per_second), `ratio`, `padding`, `frozen` (the same with the lowest
layers frozen), `workers` (tokens_per_second by workers x threads), `machine`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rounds import interleaved, machine, pin, rate, ratio, write_json

LABELS = ["O", *(f"{b}-{kind}" for kind in ("LOC", "MISC", "ORG", "PER") for b in "BI")]
FROZEN = 3  # layers, as the student's default


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", default="embedded", help="embedded | folder")
    parser.add_argument("--tokens", type=int, default=40_000, help="of the training data, seen once a round")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", action="store_true", help="compare Ray Train workers instead")
    parser.add_argument("--cores", help="0,1: everything runs on these alone; default: all, the loop on the first")
    parser.add_argument("--work", type=Path, default=Path(__file__).parents[1] / "build" / "bench")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cores = pin(asked.cores if asked.cores or asked.workers else None)
    from xner_ray.encoders.load import encoder_folder

    work = asked.work.absolute() / "training"
    work.mkdir(parents=True, exist_ok=True)
    start = str(encoder_folder(asked.start))
    results: dict[str, Any] = {"machine": machine(cores)}
    settings = {"precision": asked.precision, "epochs": 1}
    data = write_data(start, asked.tokens, work)
    if asked.workers:
        results["workers"] = compare_workers(start, data, settings, asked.rounds, work, len(cores))
    else:
        pin(str(cores[0]))
        results |= compare_loop(start, data, settings, asked.rounds, work)
        layers = json.loads((Path(start) / "config.json").read_text())["num_hidden_layers"]
        settings["num_frozen_layers"] = min(FROZEN, layers - 1)
        results["frozen"] = compare_loop(start, data, settings, asked.rounds, work)
    print(json.dumps({k: v for k, v in results.items() if k != "machine"}, indent=1))
    write_json(asked.json, results)


def write_data(start: str, tokens: int, work: Path) -> str:
    """A TrainSet of random rows: lengths as those of news sentences (log-normal, median 28 tokens), a label each second token."""
    import numpy as np

    from xner_ray.encoders.ragged import Ragged
    from xner_ray.training.data import IGNORE_INDEX, TrainSet

    random = np.random.default_rng(5)
    config = json.loads((Path(start) / "config.json").read_text())
    longest = min(200, config.get("max_position_embeddings", 512) - 2)
    lengths = np.clip(np.exp(random.normal(3.33, 0.55, tokens)), 4, longest).astype(np.int64)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), tokens)) + 1]
    ids = Ragged.from_rows([random.integers(5, config["vocab_size"], n) for n in lengths])
    labels = random.integers(0, len(LABELS), len(ids.values)).astype(np.int32)
    labels[random.random(len(labels)) < 0.5] = IGNORE_INDEX
    TrainSet(ids, labels).save(work / "data.npz")
    return str(work / "data.npz")


def compare_loop(start: str, data: str, settings: dict[str, Any], rounds: int, work: Path) -> dict[str, Any]:
    """`loop`, `bare`, their ratio, and padding, all on one thread of this process."""
    import torch

    from xner_ray.config import TrainingConfig
    from xner_ray.training.job import TrainJob

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    job = TrainJob("bench", start, LABELS, TrainingConfig(**settings), 1, data, str(work / "out"))
    tokens, padding, bare = prepared(job)
    seconds = interleaved({"loop": looped(job, tokens), "bare": bare}, rounds)
    told: dict[str, Any] = {k: {"tokens_per_second": rate(tokens, s), "seconds": s} for k, s in seconds.items()}
    return told | {"ratio": ratio(seconds["loop"], seconds["bare"]), "padding": round(padding, 4)}


def looped(job: Any, tokens: int) -> Callable[[], float]:
    """The seconds of the real loop, by its own account, which begins when the model is loaded."""
    from xner_ray.training.backends.local import LocalBackend
    from xner_ray.training.trainer import train

    def run() -> float:
        _, result = train(job, LocalBackend(log=lambda line: None))
        assert result.tokens == tokens
        return result.seconds

    return run


def prepared(job: Any, model: Any = None) -> tuple[int, float, Callable[[], float]]:
    """Tokens of an epoch, share of padding, and the bare side: forward and backward of tensors that lie on the device.

    Args:
        model: what to run; default: the job's.
    """
    import numpy as np
    import torch

    from xner_ray.encoders.load import load_model
    from xner_ray.encoders.torch_engine import choose_precision
    from xner_ray.training.data import TrainSet, micro_batches_for_rank, plan_epoch
    from xner_ray.training.dropout import use_byte_dropout
    from xner_ray.training.freezing import freeze
    from xner_ray.training.losses import LOSSES
    from xner_ray.training.trainer import make_batch

    training = job.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = (model or load_model(job.start, job.labels)).float().to(device).train()
    freeze(model, training.freeze_embeddings, training.num_frozen_layers)
    if device.type == "cpu":
        use_byte_dropout(model, job.seed)
    dtype = choose_precision(training.precision, device)
    data = TrainSet.load(Path(job.data))
    lengths = data.ids.lengths
    batches = []
    for step in plan_epoch(lengths, training.tokens_per_step, job.seed, 0):
        for rows in micro_batches_for_rank(step, lengths, training.max_micro_batch_tokens, 0, 1):
            batches.append(make_batch(data, rows, model.config, device))

    def run() -> float:
        began = time.perf_counter()
        for batch in batches:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                logits = model(**batch.inputs).logits
            LOSSES[training.loss](logits, batch.labels, training.gamma).sum().backward()
            model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    tokens = int(np.sum(lengths))
    return tokens, 1 - tokens / sum(batch.labels.numel() for batch in batches), run


def compare_workers(
    start: str, data: str, settings: dict[str, Any], rounds: int, work: Path, cores: int
) -> dict[str, Any]:
    """All cores: one worker that has them all as threads, a Ray Train worker of one thread for each, and a model for each."""
    import ray

    from xner_ray.config import RayConfig
    from xner_ray.preflight.ray_session import connect

    connect(RayConfig(num_cpus=cores))

    def run(workers: int, models: int = 1) -> float:
        """Seconds a model."""
        from xner_ray.config import TrainingConfig
        from xner_ray.training.backends.ray_train import fit
        from xner_ray.training.job import TrainJob, TrainResources

        outs = [work / f"workers-{workers}-{time.time_ns()}-{i}" for i in range(models)]
        jobs = [TrainJob("bench", start, LABELS, TrainingConfig(**settings), 1, data, str(out)) for out in outs]
        fit(jobs, work / "ray_train", TrainResources(workers), print)
        told = [json.loads((out / "training.json").read_text()) for out in outs]
        tokens.append(told[0]["tokens"])
        return max(one["seconds"] for one in told) / models

    tokens: list[int] = []
    sides: dict[str, Callable[[], float]] = {f"{n} x {cores // n}": lambda n=n: run(n) for n in (1, cores)}  # type: ignore[misc]
    sides[f"{cores} models side by side"] = lambda: run(1, cores)
    seconds = interleaved(sides, rounds)
    ray.shutdown()
    return {k: {"tokens_per_second": rate(statistics.median(tokens), s), "seconds": s} for k, s in seconds.items()}


if __name__ == "__main__":
    main()
