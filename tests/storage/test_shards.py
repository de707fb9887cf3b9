"""What a store keeps, what it refuses, and what it sweeps; the processes are in test_commit.py."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from xner_ray.errors import UserError
from xner_ray.storage.shard_store import ShardStore


def numbers(rows: int = 100, first: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + rows), pa.int64())})


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


def test_same_table_same_bytes(tmp_path):
    texts = [None, "", "Zürich", "北京"] * 500
    columns = {
        "n": list(range(2000)),
        "s": texts,
        "long": [f"{i:01000d}" for i in range(2000)],
        "l": [[{"a": i, "b": 0.5}] * (i % 3) for i in range(2000)],
    }
    whole = pa.table(columns)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 900), whole.slice(907)])
    sliced = pa.concat_tables([whole, whole]).slice(2000).replace_schema_metadata({"when": "now"})
    hashes = {ShardStore(tmp_path / str(i)).commit("s", t, "in").sha256 for i, t in enumerate([whole, pieces, sliced])}
    assert len(hashes) == 1
    files = [Path(ShardStore(tmp_path / str(i)).files()[0]).read_bytes() for i in range(3)]
    assert files[0] == files[1] == files[2]
    assert ShardStore(tmp_path / "2").read("s").equals(whole)


def test_same_bytes_in_another_process(tmp_path):
    code = (
        "import sys, pyarrow as pa; from xner_ray.storage.shard_store import ShardStore\n"
        "t = pa.table({'n': pa.array(range(100), pa.int64())})\n"
        "print(ShardStore(sys.argv[1]).commit('s-1', t, 'in').sha256)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    sha = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a")], env=env, capture_output=True, text=True, check=True
    )
    assert ShardStore(tmp_path / "b").commit("s-1", numbers(), "in").sha256 == sha.stdout.strip()


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
        (corrupt(color="red"), "color"),
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
        assert e.value.file == str(path) and e.value.key == key and "delete" in str(e.value)
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
    with pytest.raises(UserError, match="http://") as e:
        ShardStore("http://host/run")
    assert e.value.key == "out" and "local" in str(e.value)


def test_a_probe_leaves_nothing(tmp_path):
    ShardStore(tmp_path).probe()
    assert everything(tmp_path) == []


class Careless(http.server.BaseHTTPRequestHandler):
    """A store that takes every PUT, as S3 did before 2024."""

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"x"')
        self.end_headers()

    def do_POST(self):  # objects are deleted in bulk
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b"<DeleteResult><Deleted><Key>x</Key></Deleted></DeleteResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_a_store_without_create_if_absent_is_refused(monkeypatch):
    pytest.importorskip("obstore")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for key, value in {"ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "REGION": "x"}.items():
            monkeypatch.setenv(f"AWS_{key}", value)
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(key, "none")
        with pytest.raises(UserError, match="only if it is absent") as e:
            ShardStore("s3://careless/run").probe()
        server.shutdown()
    assert "If-None-Match" in e.value.remedy


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError) as e:
        ShardStore(tmp_path / "out").commit("s-1", numbers(), "in")
    assert "choose" in str(e.value)
