"""A GPU that fails is left out under its own name, whether it fails at the start, in a pass, or by hanging. No Ray, no GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tests.harness.faulty_device import FAULTS, FAULTY, LOG
from xner_ray import schema
from xner_ray.config import LabelConfig
from xner_ray.labeling import actors
from xner_ray.labeling.actors import LabelAndAlign, LabelingJob, commit_shard
from xner_ray.labeling.isolation import ChildStartError, bisection
from xner_ray.labeling.isolation.deadline import Deadline
from xner_ray.labeling.shard_functions import LabelingModels
from xner_ray.observability.shard_timer import LogContext
from xner_ray.pipeline.stages import label as label_stage
from xner_ray.storage.envelope import pack, unpack

ROWS = 20


@pytest.fixture
def start_actor(tmp_path, monkeypatch):
    """Starts the actor of GPU 0. The node has a GPU 1 too."""

    @contextmanager
    def start(pretokenized: bool = True, **faults: dict[str, str]) -> Iterator[LabelAndAlign]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        monkeypatch.setenv(LOG, str(tmp_path / "log"))
        monkeypatch.setenv(FAULTS, json.dumps({gpu.removeprefix("gpu"): fault for gpu, fault in faults.items()}))
        for module in (actors, bisection):
            monkeypatch.setattr(module, "other_device", lambda: {"CUDA_VISIBLE_DEVICES": "1"}, raising=False)
        models = LabelingModels({}, "", "en", True, 4096, "fp32", 1)
        actor = LabelAndAlign(
            LabelingJob("unused", FAULTY, models, 0.01, LogContext("test"), pretokenized, left_out_seconds=0.0)
        )
        actor.worker.deadline = Deadline(base_seconds=2.0)
        try:
            yield actor
        finally:
            actor.worker.close()

    return start


def envelope() -> pa.Table:
    """A shard that was read and tokenized."""
    texts = {"source": ["Anna came."] * ROWS, "target": ["Anna kam."] * ROWS}
    pretokenized = pa.array([[]] * ROWS, schema.PRETOKENIZED.type)
    return pack("s-1", "de", pa.table({**texts, "pretokenized": pretokenized}), "hash")


def undone(batch: pa.Table) -> dict[str, Any] | None:
    """The row of a shard that was given back; None: it was labeled."""
    _, _, table = unpack(batch)
    return commit_shard(batch, "unused").to_pylist()[0] if "projections" not in table.column_names else None


def events(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


@pytest.mark.parametrize("fault", ["SIGABRT", "CUDA error: unknown error", "CUDA out of memory", "torch sees no GPU"])
def test_gpu_that_fails_at_the_start_gives_its_shards_back(start_actor, tmp_path, fault):
    with start_actor(gpu0={"start": fault}) as actor:
        row = undone(actor(envelope()))
    assert row and row["shard"] == "s-1" and row["undone"].startswith("GPU 0 of ") and row["device"].endswith("/0")
    assert fault in row["problem"]
    assert events(tmp_path) == ["0 start"] * 3


def test_gpu_that_starts_at_the_second_try_is_used(start_actor, tmp_path):
    with start_actor(gpu0={"start": "once SIGABRT"}) as actor:
        assert not undone(actor(envelope()))
    assert events(tmp_path) == ["0 start", "0 start", "0 pass"]


def test_without_gpus_a_start_that_fails_is_an_error(start_actor):
    with pytest.raises(ChildStartError), start_actor(pretokenized=False, gpu0={"start": "SIGABRT"}):
        pass


def test_deaths_on_a_gpu_are_its_own(start_actor, tmp_path):
    """No other GPU of the node runs its shards, which would hide that it fails."""
    with start_actor(gpu0={"pass": "SIGABRT"}) as actor:
        row = undone(actor(envelope()))
        assert row and row["undone"].startswith("GPU 0 of ") and "SIGABRT" in row["problem"]
        assert undone(actor(envelope()))
    assert {line.split()[0] for line in events(tmp_path)} == {"0"}


def test_gpu_that_failed_once_is_used_again(start_actor, tmp_path):
    with start_actor(gpu0={"pass": "once SIGABRT"}) as actor:
        assert not undone(actor(envelope()))
        assert actor.deaths == 0  # a sound row ran after it
    assert {line.split()[0] for line in events(tmp_path)} == {"0"}


def test_after_a_hang_the_shard_runs_elsewhere_and_later_ones_do_not(start_actor, tmp_path):
    with start_actor(gpu0={"pass": "once SIGSTOP"}) as actor:
        assert not undone(actor(envelope()))
        assert not undone(actor(envelope()))
    log = events(tmp_path)
    elsewhere = ["1 start", "1 pass"]
    assert log == ["0 start", "0 pass", "0 start", *elsewhere, "0 start", "0 pass", "0 pass"]


def test_gpu_that_always_hangs_is_left_out(start_actor, tmp_path):
    with start_actor(gpu0={"pass": "SIGSTOP"}) as actor:
        row = undone(actor(envelope()))
    assert row and row["undone"].startswith("GPU 0 of ") and "no answer" in row["problem"]
    assert events(tmp_path).count("1 pass") == 3


@pytest.mark.parametrize("what", ["start", "pass"])
def test_other_gpu_that_fails_does_not_count(start_actor, tmp_path, what):
    with start_actor(gpu0={"pass": "once SIGSTOP"}, gpu1={what: "SIGABRT"}) as actor:
        assert not undone(actor(envelope()))
        assert actor.deaths == 0
    assert events(tmp_path)[-1] == "0 pass"


@pytest.mark.parametrize(("node", "device"), [({"CPU": 8.0, "GPU": 1.0}, "cuda"), ({"CPU": 8.0}, None)])
def test_stage_asks_for_the_gpu(monkeypatch, node, device):
    class CheckedError(Exception):
        pass

    def check(config, pools, shards, job, log):
        raise CheckedError(job.models.device)

    monkeypatch.setattr(label_stage, "check_labeling", check)
    config = SimpleNamespace(
        label=LabelConfig(), ray=SimpleNamespace(max_gpus=0), languages=["de"], source_language="en", name="test"
    )
    ctx: Any = SimpleNamespace(config=config, executor=SimpleNamespace(nodes=lambda: [node]), log=print)
    models: Any = SimpleNamespace(teachers={}, aligner="")
    with pytest.raises(CheckedError) as e:
        label_stage.Label(null_model=True)._label(ctx, models, [SimpleNamespace()], "unused", 1, {})
    assert e.value.args == (device,)
