"""The commit protocol, with real processes that race, die and hang."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from xner_ray.errors import UserError
from xner_ray.store import Manifest, ShardStore

# The steps of a commit in their order; before `manifest.named` nothing is committed, from then on everything is.
STEPS = ["opened", "half", "written", "synced", "named", "durable"]
FAILPOINTS = [f"data.{s}" for s in STEPS] + [f"manifest.{s}" for s in STEPS]
WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from xner_ray.store import ShardStore
root, rows, note = sys.argv[1], int(sys.argv[2]), sys.argv[3]
table = pa.table({"n": pa.array(range(rows), pa.int64())})
print(ShardStore(root).commit("s-1", table, "in", {"writer": note}).to_json())
"""


def numbers(rows: int = 100, first: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + rows), pa.int64())})


def writer(root: Path, failpoint: str = "", rows: int = 100, note: str = "child") -> subprocess.Popen:
    env = {**os.environ, "XNER_FAILPOINT": failpoint, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(rows), note],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until_stopped(child: subprocess.Popen) -> None:
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


def test_commit_and_read_back(tmp_path):
    store = ShardStore(tmp_path / "a" / "b")
    assert store.committed() == {} and store.files() == [] and store.manifest("s-1") is None
    made = store.commit("s-1", numbers(), "in", {"kept": 7})
    assert (made.rows, made.input_hash, made.extra) == (100, "in", {"kept": 7})
    assert store.read("s-1", verify=True).equals(numbers())
    assert store.committed() == {"s-1": made}
    assert store.files() == [str(tmp_path / "a" / "b" / made.file)]
    assert store.files(["other"]) == []
    assert Path(store.files()[0]).stat().st_size == made.size
    assert everything(tmp_path / "a" / "b") == sorted([made.file, "manifest/s-1.json"])


def test_a_second_commit_returns_the_first(tmp_path):
    store = ShardStore(tmp_path)
    first = store.commit("s-1", numbers(), "in")
    assert ShardStore(f"file://{tmp_path}").commit("s-1", numbers(5), "in") == first
    assert everything(tmp_path) == sorted([first.file, "manifest/s-1.json"])


def test_racing_writers_agree_on_one(tmp_path):
    context = multiprocessing.get_context("fork")
    for turn in range(5):
        root, barrier, results = tmp_path / str(turn), context.Barrier(8), context.Queue()
        processes = [context.Process(target=race, args=(root, barrier, results, i)) for i in range(8)]
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
    child = writer(tmp_path, failpoint)
    out, err = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, f"{failpoint} was not reached: {out!r} {err!r}"
    store = ShardStore(tmp_path)
    committed = failpoint in ("manifest.named", "manifest.durable")
    assert (store.manifest("s-1") is not None) == committed
    assert store.missing({"s-1": "in"}) == ([] if committed else ["s-1"])
    made = store.commit("s-1", numbers(), "in", {"writer": "parent"})
    assert made.extra == {"writer": "child" if committed else "parent"}
    assert store.read("s-1", verify=True).equals(numbers())
    store.sweep(0)
    assert everything(tmp_path) == sorted([made.file, "manifest/s-1.json"])


def test_a_loser_killed_before_it_tidies_up_leaves_an_orphan(tmp_path):
    child = writer(tmp_path, "data.durable:stop")
    wait_until_stopped(child)
    other = writer(tmp_path, "")
    assert other.wait(60) == 0
    made = ShardStore(tmp_path).manifest("s-1")
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    assert len(ShardStore(tmp_path).sweep(0)) == 1
    assert ShardStore(tmp_path).files() == [str(p) for p in tmp_path.glob("*.parquet")] == [str(tmp_path / made.file)]


@pytest.mark.parametrize("where", ["data.half", "data.durable", "manifest.synced"])
def test_a_zombie_that_wakes_after_another_committed_changes_nothing(tmp_path, where):
    child = writer(tmp_path, f"{where}:stop", rows=5)
    wait_until_stopped(child)
    made = ShardStore(tmp_path).commit("s-1", numbers(), "in", {"writer": "parent"})
    os.kill(child.pid, signal.SIGCONT)
    out, err = child.communicate(timeout=60)
    assert Manifest.from_json(out) == made, err
    assert b"came second with other bytes" in err
    assert ShardStore(tmp_path).read("s-1", verify=True).equals(numbers())
    assert everything(tmp_path) == sorted([made.file, "manifest/s-1.json"])


def test_a_writer_that_slept_past_the_grace_time_puts_its_file_back(tmp_path):
    child = writer(tmp_path, "manifest.synced:stop")
    wait_until_stopped(child)
    swept = [n for n in ShardStore(tmp_path).sweep(0) if n.endswith(".parquet")]
    assert len(swept) == 1
    # Its manifest's temp file went too: the link fails, loudly, and nothing is committed.
    os.kill(child.pid, signal.SIGCONT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1 and b"FileNotFoundError" in err
    assert ShardStore(tmp_path).manifest("s-1") is None

    child = writer(tmp_path, "data.durable:stop")
    wait_until_stopped(child)
    assert len(ShardStore(tmp_path).sweep(0)) == 1
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait(60) == 0
    assert ShardStore(tmp_path).read("s-1", verify=True).equals(numbers())


def test_a_lost_reply_is_a_commit(tmp_path):
    store = ShardStore(tmp_path)
    data = memoryview(b"bytes")
    mine = Manifest("s-1", "0" * 16, f"s-1.{'0' * 16}.parquet", 1, 5, "x", "in")
    assert store._publish(mine, data) == mine
    # The same attempt comes again, as after a reply that got lost: the name is taken, by itself.
    assert store._publish(mine, data) == mine
    assert (tmp_path / mine.file).read_bytes() == b"bytes"


def test_same_table_same_bytes(tmp_path):
    texts = [None, "", "Zürich", "北京"] * 500
    columns = {"n": list(range(2000)), "s": texts, "l": [[{"a": i, "b": 0.5}] * (i % 3) for i in range(2000)]}
    whole = pa.table(columns)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 900), whole.slice(907)])
    sliced = pa.concat_tables([whole, whole]).slice(2000).replace_schema_metadata({"when": "now"})
    hashes = {ShardStore(tmp_path / str(i)).commit("s", t, "in").sha256 for i, t in enumerate([whole, pieces, sliced])}
    assert len(hashes) == 1
    files = [Path(ShardStore(tmp_path / str(i)).files()[0]).read_bytes() for i in range(3)]
    assert files[0] == files[1] == files[2]
    assert ShardStore(tmp_path / "2").read("s").equals(whole)


def test_same_bytes_in_another_process(tmp_path):
    child = writer(tmp_path / "child")
    assert child.wait(60) == 0
    made = ShardStore(tmp_path / "here").commit("s-1", numbers(), "in")
    assert ShardStore(tmp_path / "child").manifest("s-1").sha256 == made.sha256


def test_another_input_is_named(tmp_path):
    store = ShardStore(tmp_path)
    store.commit("s-1", numbers(), "old-hash")
    assert store.missing({"s-2": "x", "s-1": "old-hash", "s-0": "y"}) == ["s-2", "s-0"]
    for act in (lambda: store.missing({"s-1": "new-hash"}), lambda: store.commit("s-1", numbers(), "new-hash")):
        with pytest.raises(UserError, match="old-hash, not for new-hash") as e:
            act()
        assert str(e.value.file).endswith("s-1.json") and e.value.remedy


@pytest.mark.parametrize("name", ["", "../x", ".x", "a/b", "a b", "ä", "a" * 200])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="cannot name a shard"):
        ShardStore(tmp_path).commit(name, numbers(), "in")
    assert everything(tmp_path) == []


def corrupt(**change):
    return lambda raw: json.dumps({k: v for k, v in {**raw, **change}.items() if v != "drop"})


@pytest.mark.parametrize(
    ("damage", "key"),
    [
        (lambda raw: "", None),
        (lambda raw: json.dumps(raw)[:40], None),
        (lambda raw: "[]", None),
        (corrupt(rows="drop"), "rows"),
        (corrupt(rows="7"), "rows"),
        (corrupt(version=2), "version"),
        (corrupt(colour="red"), "colour"),
        (corrupt(file="../../passwd"), "file"),
    ],
)
def test_a_corrupt_manifest_is_an_error_that_names_it(tmp_path, damage, key):
    store = ShardStore(tmp_path)
    store.commit("s-0", numbers(), "in")
    store.commit("s-1", numbers(), "in")
    path = tmp_path / "manifest" / "s-1.json"
    path.write_text(damage(json.loads(path.read_text())))
    before = everything(tmp_path)
    for act in (store.committed, store.files, lambda: store.read("s-1"), lambda: store.sweep(0)):
        with pytest.raises(UserError, match="manifest is corrupt") as e:
            act()
        assert e.value.file == str(path) and e.value.key == key and "delete" in e.value.remedy
    assert everything(tmp_path) == before  # a sweep that cannot read a manifest deletes nothing


def test_a_manifest_under_another_name_is_corrupt(tmp_path):
    store = ShardStore(tmp_path)
    store.commit("s-1", numbers(), "in")
    (tmp_path / "manifest" / "s-1.json").rename(tmp_path / "manifest" / "s-2.json")
    with pytest.raises(UserError, match="manifest is corrupt"):
        store.committed()


def test_read_says_what_is_wrong(tmp_path):
    store = ShardStore(tmp_path)
    with pytest.raises(UserError, match="s-1 is not committed"):
        store.read("s-1")
    path = tmp_path / store.commit("s-1", numbers(), "in").file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="not what was committed"):
        store.read("s-1", verify=True)
    path.write_bytes(data[:-1])
    with pytest.raises(UserError, match="not what was committed"):
        store.read("s-1")
    path.unlink()
    with pytest.raises(UserError, match="gone") as e:
        store.read("s-1")
    assert e.value.file == str(path)


def test_sweep_keeps_named_young_and_foreign_files(tmp_path):
    store = ShardStore(tmp_path)
    made = store.commit("s-1", numbers(), "in")
    attempt, old = "0" * 16, time.time() - 1000
    names = {
        "orphan": f"s-2.{attempt}.parquet",
        "temp": f"s-2.{attempt}.parquet.{attempt}.tmp",
        "manifest temp": f"manifest/s-2.json.{attempt}.tmp",
        "young": f"s-3.{attempt}.parquet",
        "foreign": "notes.parquet",
    }
    for kind, name in names.items():
        (tmp_path / name).write_text(kind)
        if kind != "young":
            os.utime(tmp_path / name, (old, old))
    os.utime(tmp_path / made.file, (old, old))
    assert sorted(store.sweep(500)) == sorted([names["orphan"], names["temp"], names["manifest temp"]])
    assert everything(tmp_path) == sorted([made.file, "manifest/s-1.json", names["young"], names["foreign"]])


def test_other_stores_are_refused_with_a_remedy():
    with pytest.raises(UserError, match="s3://") as e:
        ShardStore("s3://bucket/run")
    assert e.value.key == "out" and "local" in e.value.remedy


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError) as e:
        ShardStore(tmp_path / "out").commit("s-1", numbers(), "in")
    assert "choose" in e.value.remedy


def noise(rows: int) -> pa.Table:
    return pa.table({"b": [os.urandom(64) for _ in range(rows)]})


def check_no_room(root: Path) -> None:
    """`small` fits, `large` does not; whatever half of it was written is gone, and there is room for the next small one."""
    store = ShardStore(root)
    store.commit("s-1", noise(100), "in")
    before = everything(root)
    with pytest.raises(UserError, match="cannot be written") as e:
        store.commit("s-2", noise(40_000), "in")
    assert "free space" in e.value.remedy
    assert everything(root) == before
    store.commit("s-3", noise(100), "in")
    assert store.missing({"s-1": "in", "s-2": "in", "s-3": "in"}) == ["s-2"]


def test_a_full_disk(tmp_path):
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    if mount.returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        check_no_room(tmp_path)
        # Room for the data, none for the manifest: the data goes too.
        store = ShardStore(tmp_path)
        small = noise(100)
        size = ShardStore(tmp_path).commit("s-4", small, "in").size
        page = os.sysconf("SC_PAGE_SIZE")
        before = everything(tmp_path)
        free = os.statvfs(tmp_path)
        keep = -(-size // page) * page
        (tmp_path / "fill").write_bytes(b"x" * (free.f_bavail * free.f_frsize - keep))
        with pytest.raises(UserError, match="cannot be written") as e:
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
    child = multiprocessing.get_context("fork").Process(target=limited, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
