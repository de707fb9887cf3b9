"""What torture and the system tests share: a small run on the null model, drivers to kill, and how to compare outputs."""

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
FUNCTION_ACTORS = ("LabelShards", "AlignShards", "ReadLabelAlignCommit")

CONFIG = """\
name: ordeal
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
class Head:
    """`address`: for drivers. `pid`: all processes of this Ray descend from it. `folder`: its temporary files."""

    address: str
    pid: int
    folder: Path


@contextlib.contextmanager
def ray_head(
    cpus: int = 2, *options: str, port: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Head]:
    """A Ray head of its own, with more options of `ray start` and environment. Every port is chosen, none is a default."""
    # A folder with a short name, as that of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield from _ray_head(Path(folder), cpus, options, port or free_port(), env or {})


def _ray_head(folder: Path, cpus: int, options: Sequence[str], port: int, more: Mapping[str, str]) -> Iterator[Head]:
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats",
        f"--num-cpus={cpus}", f"--port={port}", "--include-dashboard=false", f"--ray-client-server-port={free_port()}",
        f"--dashboard-agent-listen-port={free_port()}", f"--temp-dir={folder}", f"--object-store-memory={200 * 2**20}", *options,
    ]  # fmt: skip
    env = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **more}
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while "runtime started" not in (folder / "head.log").read_text():
            assert head.poll() is None and time.monotonic() < deadline, (folder / "head.log").read_text()[-2000:]
            time.sleep(0.5)
        yield Head(f"127.0.0.1:{port}", head.pid, folder)
    finally:
        # The head's children share its process group; asked to end by itself it takes half a minute.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        head.wait(60)


def free_port() -> int:
    """A port between those of Ray's workers (up to 19999) and of connections (from 32768), which could take it first."""
    while True:
        port = random.randint(23_000, 29_900)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


class Ordeal:
    """Runs of one small corpus in many output folders.

    Args:
        folder: for everything.
        address: of Ray; None: each driver starts its own.
        pairs, shard_rows: for each of two languages.
        poison: rows are planted.
    """

    def __init__(
        self, folder: Path, address: str | None, pairs: int = 300, shard_rows: int = 50, poison: bool = False
    ):
        self.folder, self.address, self.pairs, self.shard_rows = folder, address, pairs, shard_rows
        self.poison, self.outs = poison, 0

    def new_out(self, ingested: Path | None = None) -> Path:
        """A config for a new output folder, with what another one has read and sharded."""
        self.outs += 1
        out = self.folder / f"out-{self.outs}"
        if ingested:
            for name in ("run.json", "sample", "ingest"):
                source = ingested / name
                (shutil.copytree if source.is_dir() else _copy)(source, out / name)
        out.with_suffix(".yaml").write_text(CONFIG.format(out=out, pairs=self.pairs, shard_rows=self.shard_rows))
        return out

    def start(self, out: Path, *options: str) -> subprocess.Popen:
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
        """Run to the end; returns the seconds. Raises: AssertionError with the log where it fails."""
        began = time.monotonic()
        driver = self.start(out, *options)
        try:
            code = driver.wait(timeout)
        finally:
            driver.kill()
        assert code == 0, f"exit {code}\n" + out.with_suffix(".log").read_text()[-3000:]
        return time.monotonic() - began

    def killed_at(self, out: Path, failpoint: str, *options: str, timeout: float = 300) -> None:
        """Run until a worker reaches a failpoint and kills the driver."""
        code = self.start(out, "--failpoint", failpoint, *options).wait(timeout)
        assert code == -signal.SIGKILL, f"exit {code} at {failpoint}\n" + out.with_suffix(".log").read_text()[-3000:]

    def killed_after(self, out: Path, seconds: float) -> bool:
        """Run for some time, then SIGKILL; False where it had ended by itself."""
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
    """All that two runs of one input must have in common: bytes of labeled and judged shards, rows, ledger, training data."""
    from xner_ray.labeling.plan import LabelingPlan
    from xner_ray.labeling.status import status
    from xner_ray.storage.shard_store import ShardStore

    _, plan = LabelingPlan.latest(out)
    told: dict[str, Any] = {"ledger": status(out)["ledger"], "bytes": {}, "rows": []}
    (judged,) = (out / "judged").iterdir()
    for root in (plan.store, str(judged)):
        store = ShardStore(root)
        for shard, made in store.committed().items():
            table = store.read(shard, verify=True)
            told["bytes"][shard] = made.sha256
            if root == plan.store:
                told["rows"] += zip(*(table[c].to_pylist() for c in ("language", "corpus", "pair_id")), strict=True)
    told["rows"].sort()
    return told


def lost_and_doubled(rows: list[tuple], wanted: list[tuple]) -> tuple[int, int]:
    """Rows that are missing, and rows too many."""
    return len(set(wanted) - set(rows)), len(rows) - len(set(rows))


def planted_rows(out: Path) -> list[tuple[str, str, int]]:
    """(language, corpus, pair_id) of the poison in what was ingested."""
    import pyarrow.parquet as pq

    from tests.harness.poisoned import is_poisoned

    found = []
    for file in sorted(out.glob("ingest/*/*/shards/shard-*.parquet")):
        table = pq.read_table(file)
        names = zip(*(table[c].to_pylist() for c in ("language", "corpus", "pair_id")), strict=True)
        found += [name for name, bad in zip(names, is_poisoned(table["source"].to_pylist()), strict=True) if bad]
    return sorted(found)


def quarantined_rows(out: Path) -> list[tuple[str, str, int]]:
    from xner_ray.labeling.quarantine import quarantined_rows as read_quarantine

    rows = [r for r in read_quarantine(out).to_pylist() if r["stage"] != "ingest"]
    return sorted((r["language"], r["corpus"], r["pair_id"]) for r in rows)


def kill_an_actor(head: Head, choice: random.Random) -> bool:
    """SIGKILL one of the actors of this Ray's labeling pools, and with it what it is running."""
    import psutil

    actors = []
    for process in psutil.Process(head.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith("ray::MapWorker") and any(f"({x})" in title for x in FUNCTION_ACTORS):
                actors.append(process)
    if not actors:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        choice.choice(actors).kill()
    return True


def write_json(path: Path | None, value: Any) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n")
