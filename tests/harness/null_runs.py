"""Runs of the null model over a small corpus, for tests and benchmarks that kill drivers and actors and compare the outputs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FUNCTION_ACTORS = ("LabelAndAlign", "ReadLabelAlignCommit")
NAME = "null-run"

CONFIG = """\
name: {name}
out: {out}
languages: [de, zh]
sample: {{pairs: {pairs}, seed: 7, gold_sentences: 10, eval_sentences: 5}}
gold: [{{path: "{{data}}/gold/en.train.conll"}}]
corpora:
  - {{name: SampleNews, domain: news, format: moses, path: "{{data}}/SampleNews/v1/moses/{{pair}}.txt.zip"}}
  - {{name: SampleTalks, domain: talks, format: moses, path: "{{data}}/SampleTalks/v1/moses/{{pair}}.txt.zip"}}
ingest: {{max_pairs_per_language: {pairs}, shard_rows: {shard_rows}}}
teacher: {{encoder: tiny}}
label: {{null_model: true, max_quarantined: 0.5}}
"""


@dataclass(frozen=True)
class RayHead:
    """A Ray head that a test started.

    Attributes:
        address: for drivers.
        pid: all processes of this Ray descend from it.
        folder: its temporary files.
    """

    address: str
    pid: int
    folder: Path


@contextlib.contextmanager
def ray_head(
    cpus: int = 2, *options: str, port: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[RayHead]:
    """Start a Ray head on free ports and kill it at the end.

    Args:
        cpus: number of CPUs.
        *options: further options of `ray start`.
        port: of the head; None: a free one.
        env: further environment variables.
    """
    # The folder has a short name, because the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield from _ray_head(Path(folder), cpus, options, port or free_port(), env or {})


def _ray_head(
    folder: Path, cpus: int, options: Sequence[str], port: int, variables: Mapping[str, str]
) -> Iterator[RayHead]:
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats",
        f"--num-cpus={cpus}", f"--port={port}", "--include-dashboard=false", f"--ray-client-server-port={free_port()}",
        f"--dashboard-agent-listen-port={free_port()}", f"--temp-dir={folder}", f"--object-store-memory={200 * 2**20}", *options,
    ]  # fmt: skip
    env = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **variables}
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while "runtime started" not in (folder / "head.log").read_text():
            assert head.poll() is None and time.monotonic() < deadline, (folder / "head.log").read_text()[-2000:]
            time.sleep(0.5)
        yield RayHead(f"127.0.0.1:{port}", head.pid, folder)
    finally:
        # The children of the head are in its process group. A regular shutdown would take half a minute.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        head.wait(60)


def free_port() -> int:
    """A free port that neither Ray's workers (up to 19999) nor outgoing connections (from 32768) can take first."""
    while True:
        port = random.randint(23_000, 29_900)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


class NullRuns:
    """Runs over the same small corpus, each with its own output folder.

    Args:
        folder: for all files.
        address: of a Ray cluster; None: each driver starts a local Ray.
        pairs: sentence pairs of each of the two languages.
        shard_rows: rows of a shard.
        poison: some rows raise an error or kill their process, see `poisoned.py`.
    """

    def __init__(
        self, folder: Path, address: str | None, pairs: int = 300, shard_rows: int = 50, poison: bool = False
    ):
        self.folder, self.address, self.pairs, self.shard_rows = folder, address, pairs, shard_rows
        self.poison, self.num_outs = poison, 0

    def new_out(self, ingested: Path | None = None) -> Path:
        """Write a config for a new output folder.

        Args:
            ingested: another output folder, whose sample and shards are copied.

        Returns:
            The output folder. The config is beside it, with the suffix `.yaml`.
        """
        self.num_outs += 1
        out = self.folder / f"out-{self.num_outs}"
        if ingested:
            for name in ("run.json", "sample", "ingest"):
                source = ingested / name
                (shutil.copytree if source.is_dir() else _copy)(source, out / name)
        config = CONFIG.format(name=NAME, out=out, pairs=self.pairs, shard_rows=self.shard_rows)
        out.with_suffix(".yaml").write_text(config)
        return out

    def start(self, out: Path, *options: str) -> subprocess.Popen:
        """Start a driver for an output folder. Its log is beside the folder, with the suffix `.log`."""
        command = [sys.executable, "-m", "tests.harness.null_driver", str(out.with_suffix(".yaml")), *options]
        command += ["--poison"] if self.poison else []
        command += [] if self.address else ["--local"]
        env = {
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_ADDRESS": self.address or "",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with out.with_suffix(".log").open("a") as log:
            return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)

    def finish(self, out: Path, *options: str, timeout: float = 600) -> float:
        """Run a driver to its end; returns the seconds.

        Raises:
            AssertionError: it failed. The message is the end of its log.
        """
        start = time.monotonic()
        driver = self.start(out, *options)
        try:
            code = driver.wait(timeout)
        finally:
            driver.kill()
        assert code == 0, f"exit {code}\n" + out.with_suffix(".log").read_text()[-3000:]
        return time.monotonic() - start

    def kill_at(self, out: Path, failpoint: str, *options: str, timeout: float = 300) -> None:
        """Run a driver until a worker reaches a failpoint, which kills the driver."""
        code = self.start(out, "--failpoint", failpoint, *options).wait(timeout)
        assert code == -signal.SIGKILL, f"exit {code} at {failpoint}\n" + out.with_suffix(".log").read_text()[-3000:]

    def kill_after(self, out: Path, seconds: float) -> bool:
        """Run a driver for some seconds and kill it; False: it ended before."""
        driver = self.start(out)
        try:
            code = driver.wait(seconds)
            assert code == 0, f"exit {code}\n" + out.with_suffix(".log").read_text()[-3000:]
            return False
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait()
            return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def contents(out: Path) -> dict[str, Any]:
    """What must be equal in two runs over the same input: the ledger, hashes of labeled and filtered shards, and row keys."""
    from xner_ray.labeling.plan import LabelingPlan
    from xner_ray.labeling.status import status
    from xner_ray.storage.shard_store import ShardStore

    _, plan = LabelingPlan.latest(out)
    result: dict[str, Any] = {"ledger": status(out)["ledger"], "bytes": {}, "rows": []}
    (filtered,) = (out / "filter").iterdir()
    for root in (plan.store, str(filtered)):
        store = ShardStore(root)
        for shard, manifest in store.committed().items():
            table = store.read(shard, verify=True)
            result["bytes"][shard] = manifest.sha256
            if root == plan.store:
                result["rows"] += zip(*(table[c].to_pylist() for c in ("language", "corpus", "pair_id")), strict=True)
    result["rows"].sort()
    return result


def count_lost_and_doubled(rows: list[tuple], expected: list[tuple]) -> tuple[int, int]:
    """The number of rows that are missing, and of rows that are there more than once."""
    return len(set(expected) - set(rows)), len(rows) - len(set(rows))


def poisoned_keys(out: Path) -> list[tuple[str, str, int]]:
    """(language, corpus, pair_id) of the poisoned rows in the ingested shards."""
    import pyarrow.parquet as pq

    from tests.harness.poisoned import is_poisoned

    poisoned = []
    for file in sorted(out.glob("ingest/*/*/shards/shard-*.parquet")):
        table = pq.read_table(file)
        keys = zip(*(table[c].to_pylist() for c in ("language", "corpus", "pair_id")), strict=True)
        poisoned += [key for key, bad in zip(keys, is_poisoned(table["source"].to_pylist()), strict=True) if bad]
    return sorted(poisoned)


def quarantined_keys(out: Path) -> list[tuple[str, str, int]]:
    """(language, corpus, pair_id) of the rows that labeling quarantined."""
    from xner_ray.labeling.quarantine import quarantined_rows

    rows = [row for row in quarantined_rows(out).to_pylist() if row["stage"] != "ingest"]
    return sorted((row["language"], row["corpus"], row["pair_id"]) for row in rows)


def kill_an_actor(head: RayHead, rng: random.Random) -> bool:
    """Kill a random labeling actor, with the shard that it runs; False: there is none."""
    import psutil

    actors = []
    for process in psutil.Process(head.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith("ray::MapWorker") and any(f"({name})" in title for name in FUNCTION_ACTORS):
                actors.append(process)
    if not actors:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(actors).kill()
    return True


def write_json(path: Path | None, value: Any) -> None:
    """Write a value as JSON; nothing if there is no path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n")
