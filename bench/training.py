"""Measures the training loop against forward and backward passes over prepared tensors, and numbers of workers.

    python -m bench.training --start ENCODER_FOLDER --tokens 60000 --json OUT         the loop on one core
    python -m bench.training --workers --cores 0,1 --start ENCODER_FOLDER --json OUT  workers x threads on two cores

`bare` runs the same micro-batches through the same model with the same dropout, frozen layers and loss. Its tensors are on the
device beforehand; it has no optimizer, no clipping and no epoch plan. The data are random rows with the lengths of sentences.
Keys of the JSON: `loop`, `bare` (tokens_per_second), `ratio`, `padding`, `frozen` (the same with the lowest layers frozen),
`workers` (tokens_per_second by workers x threads), `machine`.
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
FROZEN = 3  # layers, the default of the student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", default="embedded", help="embedded | folder")
    parser.add_argument("--tokens", type=int, default=40_000, help="of the training data; each round is one epoch")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", action="store_true", help="compare Ray Train workers instead")
    parser.add_argument("--cores", help="0,1: the only cores that are used; default: all, the first one for the loop")
    parser.add_argument("--work", type=Path, default=Path(__file__).parents[1] / "build" / "bench")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cores = pin(args.cores if args.cores or args.workers else None)
    from xner_ray.encoders.load import encoder_folder

    work = args.work.absolute() / "training"
    work.mkdir(parents=True, exist_ok=True)
    start = str(encoder_folder(args.start))
    results: dict[str, Any] = {"machine": machine(cores)}
    settings = {"precision": args.precision, "epochs": 1}
    data = write_data(start, args.tokens, work)
    if args.workers:
        results["workers"] = compare_workers(start, data, settings, args.rounds, work, len(cores))
    else:
        pin(str(cores[0]))
        results |= compare_loop(start, data, settings, args.rounds, work)
        layers = json.loads((Path(start) / "config.json").read_text())["num_hidden_layers"]
        settings["num_frozen_layers"] = min(FROZEN, layers - 1)
        results["frozen"] = compare_loop(start, data, settings, args.rounds, work)
    print(json.dumps({k: v for k, v in results.items() if k != "machine"}, indent=1))
    write_json(args.json, results)


def write_data(start: str, tokens: int, work: Path) -> str:
    """Write a TrainSet of random rows with the lengths of news sentences; half of the tokens have a label.

    Lengths are log-normal with a median of 28 tokens.
    """
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
    """`loop`, `bare`, their ratio and the padding, on one thread of this process."""
    import torch

    from xner_ray.config import TrainingConfig
    from xner_ray.training.job import TrainJob

    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    job = TrainJob("bench", start, LABELS, TrainingConfig(**settings), 1, data, str(work / "out"))
    tokens, padding, bare = bare_side(job)
    seconds = interleaved({"loop": loop_side(job, tokens), "bare": bare}, rounds)
    results: dict[str, Any] = {k: {"tokens_per_second": rate(tokens, s), "seconds": s} for k, s in seconds.items()}
    return results | {"ratio": ratio(seconds["loop"], seconds["bare"]), "padding": round(padding, 4)}


def loop_side(job: Any, tokens: int) -> Callable[[], float]:
    """A function that trains and returns the seconds that the loop reports, without the loading of the model."""
    from xner_ray.training.backends.local import LocalBackend
    from xner_ray.training.trainer import train

    def run() -> float:
        _, result = train(job, LocalBackend(log=lambda line: None))
        assert result.tokens == tokens
        return result.seconds

    return run


def bare_side(job: Any, model: Any = None) -> tuple[int, float, Callable[[], float]]:
    """Tokens of an epoch, share of padding, and a function that runs and times the passes over prepared tensors.

    Args:
        model: the model; default: the model of the job.
    """
    import numpy as np
    import torch

    from xner_ray.encoders.load import load_model
    from xner_ray.encoders.torch_engine import choose_precision
    from xner_ray.training.batches import make_batch
    from xner_ray.training.data import TrainSet, micro_batches_for_rank, plan_epoch
    from xner_ray.training.dropout import use_byte_dropout
    from xner_ray.training.freezing import freeze
    from xner_ray.training.losses import LOSSES

    training = job.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = (model or load_model(job.start, job.labels)).float().to(device).train()
    freeze(model, training.freeze_embeddings, training.num_frozen_layers)
    if device.type == "cpu":
        use_byte_dropout(model, np.random.Generator(np.random.SFC64(job.seed)))
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
    """Three uses of all cores: one worker with all threads, one worker per core, and one model per core."""
    import ray

    from xner_ray.config import RayConfig
    from xner_ray.preflight.ray_session import connect

    connect(RayConfig(num_cpus=cores))

    def run(workers: int, models: int = 1) -> float:
        """Seconds per model."""
        from xner_ray.config import TrainingConfig
        from xner_ray.training.backends.dispatch import train_on_ray
        from xner_ray.training.job import TrainJob, TrainResources

        outs = [work / f"workers-{workers}-{time.time_ns()}-{i}" for i in range(models)]
        jobs = [TrainJob("bench", start, LABELS, TrainingConfig(**settings), 1, data, str(out)) for out in outs]
        train_on_ray(jobs, work / "ray_train", TrainResources(workers), print)
        results = [json.loads((out / "training.json").read_text()) for out in outs]
        tokens.append(results[0]["tokens"])
        return max(result["seconds"] for result in results) / models

    tokens: list[int] = []
    sides: dict[str, Callable[[], float]] = {f"{n} x {cores // n}": lambda n=n: run(n) for n in (1, cores)}  # type: ignore[misc]
    sides[f"{cores} models side by side"] = lambda: run(1, cores)
    seconds = interleaved(sides, rounds)
    ray.shutdown()
    return {k: {"tokens_per_second": rate(statistics.median(tokens), s), "seconds": s} for k, s in seconds.items()}


if __name__ == "__main__":
    main()
