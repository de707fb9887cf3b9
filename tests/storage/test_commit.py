"""The commit protocol with real processes that race, die, hang, and run out of disk space."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pytest

from xner_ray.errors import UserError
from xner_ray.storage.shard_store import Manifest, ShardStore

# The steps of a commit in their order; before `manifest.named` nothing is committed, from then on everything is.
STEPS = ["opened", "half", "written", "synced", "named", "durable"]
FAILPOINTS = [f"data.{s}" for s in STEPS] + [f"manifest.{s}" for s in STEPS]
FORK = multiprocessing.get_context("fork")  # real processes that need not import Arrow again
CHILDREN: list = []


@pytest.fixture(autouse=True)
def no_writer_outlives_its_test():
    yield
    while CHILDREN:
        child = CHILDREN.pop()
        child.kill()
        child.join()


def numbers(rows: int = 100, first: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + rows), pa.int64())})


def write(root: Path, failpoint: str, rows: int) -> None:
    os.environ["XNER_FAILPOINT"] = failpoint
    logging.basicConfig(filename=root.with_suffix(".log"), force=True)
    made = ShardStore(root).commit("s-1", numbers(rows), "in", {"writer": "child"})
    root.with_suffix(".answer").write_text(made.to_json())


def writer(root: Path, failpoint: str = "", rows: int = 100):
    child = FORK.Process(target=write, args=(root, failpoint, rows))
    child.start()
    CHILDREN.append(child)
    return child


def end(child) -> int:
    child.join(60)
    return child.exitcode


def wait_until_stopped(child) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child.pid, os.WUNTRACED | os.WNOHANG)
        if done:
            assert os.WIFSTOPPED(status), f"the writer ended with {status} before its failpoint"
            return
        time.sleep(0.02)
    raise AssertionError("the writer never reached its failpoint")


def race(root: Path, barrier, results, first: int) -> None:
    store = ShardStore(root)
    barrier.wait()
    results.put((first, store.commit("s-1", numbers(3000, first), "in").to_json()))


def everything(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_racing_writers_agree_on_one(tmp_path):
    for turn in range(3):
        root, barrier, results = tmp_path / str(turn), FORK.Barrier(8), FORK.Queue()
        processes = [FORK.Process(target=race, args=(root, barrier, results, i)) for i in range(8)]
        for p in processes:
            p.start()
        answers = [results.get(timeout=60) for _ in processes]
        for p in processes:
            p.join(60)
        assert {text for _, text in answers} == {(root / "manifest" / "s-1.json").read_text()}
        made = Manifest.from_json(answers[0][1])
        assert everything(root) == sorted([made.file, "manifest/s-1.json"])
        # Each wrote other numbers: the bytes are those of one of them, whole.
        table = ShardStore(root).read("s-1", verify=True)
        assert table.equals(numbers(3000, table["n"][0].as_py()))


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_at_every_step_then_again(tmp_path, failpoint):
    root = tmp_path / "store"
    assert end(writer(root, failpoint)) == -signal.SIGKILL
    store = ShardStore(root)
    committed = failpoint in ("manifest.named", "manifest.durable")
    assert (store.manifest("s-1") is not None) == committed
    assert store.missing({"s-1": "in"}) == ([] if committed else ["s-1"])
    made = store.commit("s-1", numbers(), "in", {"writer": "parent"})
    assert made.extra == {"writer": "child" if committed else "parent"}
    assert store.read("s-1", verify=True).equals(numbers())
    store.sweep(0)
    assert everything(root) == sorted([made.file, "manifest/s-1.json"])


@pytest.mark.parametrize("where", ["data.half", "data.durable", "manifest.synced"])
def test_a_zombie_that_wakes_after_another_committed_changes_nothing(tmp_path, where):
    root = tmp_path / "store"
    child = writer(root, f"{where}:stop", rows=5)
    wait_until_stopped(child)
    made = ShardStore(root).commit("s-1", numbers(), "in", {"writer": "parent"})
    os.kill(child.pid, signal.SIGCONT)
    assert end(child) == 0
    assert Manifest.from_json(root.with_suffix(".answer").read_text()) == made
    assert "other bytes or another input" in root.with_suffix(".log").read_text()
    assert ShardStore(root).read("s-1", verify=True).equals(numbers())
    assert everything(root) == sorted([made.file, "manifest/s-1.json"])


def test_a_loser_killed_before_it_tidies_up_leaves_an_orphan(tmp_path):
    # Two writers hang with their data written; one wakes and wins, the other dies.
    root = tmp_path / "store"
    loser, winner = writer(root, "data.durable:stop"), writer(root, "data.durable:stop")
    for child in (loser, winner):
        wait_until_stopped(child)
    os.kill(winner.pid, signal.SIGCONT)
    assert end(winner) == 0
    loser.kill()
    assert end(loser) == -signal.SIGKILL
    made = Manifest.from_json(root.with_suffix(".answer").read_text())
    assert len(list(root.glob("*.parquet"))) == 2 and ShardStore(root).files() == [str(root / made.file)]
    assert len(ShardStore(root).sweep(0)) == 1
    assert everything(root) == sorted([made.file, "manifest/s-1.json"])


def test_a_writer_that_slept_past_the_grace_time_puts_its_file_back(tmp_path):
    root = tmp_path / "store"
    child = writer(root, "data.durable:stop")
    wait_until_stopped(child)
    assert len(ShardStore(root).sweep(0)) == 1 and everything(root) == []
    os.kill(child.pid, signal.SIGCONT)
    assert end(child) == 0
    assert ShardStore(root).read("s-1", verify=True).equals(numbers())


def test_a_manifest_that_was_swept_before_its_link_is_no_commit(tmp_path):
    root = tmp_path / "store"
    child = writer(root, "manifest.synced:stop")
    wait_until_stopped(child)
    assert len(ShardStore(root).sweep(0)) == 2
    os.kill(child.pid, signal.SIGCONT)
    assert end(child) == 1  # FileNotFoundError: loud, and the shard is still missing
    assert ShardStore(root).missing({"s-1": "in"}) == ["s-1"] and everything(root) == []


def test_a_lost_reply_is_a_commit(tmp_path):
    store = ShardStore(tmp_path)
    data = memoryview(b"bytes")
    mine = Manifest("s-1", "0" * 16, f"s-1.{'0' * 16}.parquet", 1, 5, "x", "in")
    assert store._publish(mine, data) == mine
    # The same attempt comes again, as after a reply that got lost: the name is taken, by itself.
    assert store._publish(mine, data) == mine
    assert (tmp_path / mine.file).read_bytes() == b"bytes"


def noise(rows: int) -> pa.Table:
    return pa.table({"b": [os.urandom(64) for _ in range(rows)]})


def check_no_room(root: Path) -> None:
    """A small shard fits, a large one does not: nothing of it is left, and the next small one fits again."""
    store = ShardStore(root)
    store.commit("s-1", noise(100), "in")
    before = everything(root)
    with pytest.raises(UserError, match="cannot be used") as e:
        store.commit("s-2", noise(40_000), "in")
    assert "free space" in str(e.value)
    assert everything(root) == before
    store.commit("s-3", noise(100), "in")
    assert store.missing({"s-1": "in", "s-2": "in", "s-3": "in"}) == ["s-2"]


def test_a_full_disk(tmp_path):
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    if mount.returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        check_no_room(tmp_path)
        # The disk has space for the data, but not for the manifest: the data is deleted, too.
        store = ShardStore(tmp_path)
        small = noise(100)
        size = ShardStore(tmp_path).commit("s-4", small, "in").size
        page = os.sysconf("SC_PAGE_SIZE")
        before = everything(tmp_path)
        free = os.statvfs(tmp_path)
        keep = -(-size // page) * page
        (tmp_path / "fill").write_bytes(b"x" * (free.f_bavail * free.f_frsize - keep))
        with pytest.raises(UserError, match="cannot be used") as e:
            store.commit("s-5", small, "in")
        assert str(e.value.file).endswith("s-5.json")
        (tmp_path / "fill").unlink()
        assert everything(tmp_path) == before
        store.commit("s-5", small, "in")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def limited(root: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    check_no_room(root)


def test_a_file_size_limit(tmp_path):
    child = FORK.Process(target=limited, args=(tmp_path,))
    child.start()
    CHILDREN.append(child)
    assert end(child) == 0
