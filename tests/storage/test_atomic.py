"""Files and folders appear whole or not at all, and no other module of the package renames."""

from __future__ import annotations

import ast
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import xner_ray
from xner_ray.errors import UserError
from xner_ray.storage import atomic
from xner_ray.storage.processes import ProcessIdentity

FORK = multiprocessing.get_context("fork")
PACKAGE = Path(xner_ray.__file__).parent
RENAMING = {
    "rename",
    "renames",
    "symlink",
    "symlink_to",
    "hardlink_to",
    "move",
    "mkdtemp",
    "mkstemp",
    "NamedTemporaryFile",
}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def renaming_calls(tree: ast.AST) -> list[str]:
    """Calls that rename or replace a path, or that make a temporary file to be renamed."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, is_os = node.func.attr, isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
            # `str.replace` has two arguments, `dataclasses.replace` has keywords.
            path_replace = name == "replace" and len(node.args) == 1 and not node.keywords
            if name in RENAMING or path_replace or (is_os and name == "replace"):
                found.append(f"line {node.lineno}: {ast.unparse(node.func)}")
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil", "tempfile"):
            found += [f"line {node.lineno}: {x.name}" for x in node.names if x.name in {*RENAMING, "replace"}]
    return found


def test_no_other_module_renames():
    calls = {
        path.relative_to(PACKAGE).as_posix(): renaming_calls(ast.parse(path.read_text(encoding="utf-8")))
        for path in PACKAGE.rglob("*.py")
    }
    assert calls.pop("storage/atomic.py")
    assert {path: found for path, found in calls.items() if found} == {}


@pytest.mark.parametrize(
    "code",
    [
        "os.rename(a, b)",
        "os.replace(a, b)",
        "path.replace(other)",
        "Path(a).rename(b)",
        "from os import replace",
        "shutil.move(a, b)",
        "tempfile.mkdtemp(dir=a)",
        "link.symlink_to(a)",
    ],
)
def test_renaming_calls_are_recognized(code):
    assert renaming_calls(ast.parse(code))


@pytest.mark.parametrize("code", ["text.replace('a', 'b')", "replace(shard, file=a)", "now.replace(tzinfo=utc)"])
def test_other_calls_are_allowed(code):
    assert not renaming_calls(ast.parse(code))


def test_a_file_is_replaced_and_its_folders_are_made(tmp_path):
    file = tmp_path / "a" / "b" / "file"
    for text in ("one", "zwei, größer"):
        atomic.write_text(file, text)
        assert file.read_text(encoding="utf-8") == text
    atomic.write_json(file, {"b": "ü", "a": [1]}, sort_keys=True)
    assert file.read_text(encoding="utf-8") == '{\n "a": [\n  1\n ],\n "b": "ü"\n}\n'
    assert names(file.parent) == ["file"]


def test_if_absent_keeps_the_first_file(tmp_path):
    assert atomic.write_bytes(tmp_path / "file", b"first", if_absent=True)
    assert not atomic.write_bytes(tmp_path / "file", b"second", if_absent=True)
    assert (tmp_path / "file").read_bytes() == b"first" and names(tmp_path) == ["file"]


def fail(path: Path) -> None:
    """A `write` that fails halfway, for files and folders."""
    if path.is_dir():
        path = path / "part"
    path.write_bytes(b"half")
    raise KeyboardInterrupt


def fail_in_block(path: Path, write) -> None:
    with atomic.new_dir(path) as folder:
        write(folder)


@pytest.mark.parametrize(
    "function",
    [atomic.replace_file, atomic.create_dir_once, atomic.replace_dir, fail_in_block],
    ids=lambda f: f.__name__,
)
def test_a_failing_write_leaves_nothing(tmp_path, function):
    with pytest.raises(KeyboardInterrupt):
        function(tmp_path / "target", fail)
    assert names(tmp_path) == []


def test_a_failing_write_keeps_the_old_content(tmp_path):
    atomic.write_text(tmp_path / "file", "old")
    atomic.replace_dir(tmp_path / "folder", lambda folder: (folder / "a").write_text("old"))
    for function, target in ((atomic.replace_file, "file"), (atomic.replace_dir, "folder")):
        with pytest.raises(KeyboardInterrupt):
            function(tmp_path / target, fail)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "a").read_text() == "old"
    assert names(tmp_path) == ["file", "folder"]


def test_concurrent_create_dir_once_gives_one_whole_folder(tmp_path):
    folder, together, contents = tmp_path / "folder", FORK.Barrier(6), FORK.Queue()

    def create(number: int) -> None:
        def write(temporary: Path) -> None:
            for name in range(20):
                (temporary / str(name)).write_text(str(number))
            together.wait(30)  # all writers are here, so none has seen the folder of another one

        atomic.create_dir_once(folder, write)
        contents.put([(folder / str(name)).read_text() for name in range(20)])

    processes = [FORK.Process(target=create, args=(i,)) for i in range(6)]
    for process in processes:
        process.start()
    read = [contents.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert all(content == read[0] and len(set(content)) == 1 for content in read)
    assert names(tmp_path) == ["folder"] and len(names(folder)) == 20
    atomic.create_dir_once(folder, lambda temporary: pytest.fail("written twice"))


def test_create_dir_once_fills_an_empty_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    atomic.create_dir_once(tmp_path / "folder", lambda folder: (folder / "a").touch())
    assert names(tmp_path / "folder") == ["a"]


def test_replace_dir_removes_what_was_there(tmp_path):
    for name in ("a", "b"):
        atomic.replace_dir(tmp_path / "folder", lambda folder, name=name: (folder / name).touch())
        assert names(tmp_path / "folder") == [name] and names(tmp_path) == ["folder"]


def test_concurrent_replace_dir_leaves_one_whole_folder(tmp_path):
    def write(temporary: Path) -> None:
        for name in range(5):
            (temporary / str(name)).touch()

    def replace() -> None:
        for _ in range(20):
            atomic.replace_dir(tmp_path / "folder", write)

    threads = [threading.Thread(target=replace) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["folder"] and len(names(tmp_path / "folder")) == 5


def test_new_dir_refuses_a_folder_that_holds_files(tmp_path):
    (tmp_path / "folder").mkdir()
    with atomic.new_dir(tmp_path / "folder") as folder:
        (folder / "a").touch()
    for target in ("folder", "folder/a"):
        with pytest.raises(UserError) as e, atomic.new_dir(tmp_path / target, "--out"):
            pytest.fail("the block must not run")
        assert (e.value.file, e.value.key) == (tmp_path / target, "--out") and e.value.remedy


def test_the_slower_of_two_new_dirs_is_an_error(tmp_path):
    def create(name: str, in_between) -> None:
        with atomic.new_dir(tmp_path / "folder") as folder:
            (folder / name).touch()
            in_between()

    with pytest.raises(UserError, match="another process") as e:
        create("slow", lambda: create("fast", lambda: None))
    assert e.value.file == tmp_path / "folder" and e.value.remedy
    assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == ["fast"]


def abandoned(path: Path, process: int, started: int, namespace: str | None = None) -> Path:
    """A folder that a process left while it wrote `path`."""
    owner = f"{namespace or atomic._namespace()}-{process}-{started}"
    folder = path.with_name(f"{path.name}.{owner}.{'0' * 16}.tmp")
    folder.mkdir()
    return folder


def test_folders_of_dead_processes_are_removed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    mine = ProcessIdentity.current()
    dead = abandoned(tmp_path / "out", child.pid, 1)
    reused = abandoned(tmp_path / "out", mine.pid, mine.started - 1)  # a process that had the same id before
    alive = abandoned(tmp_path / "out", mine.pid, mine.started)
    elsewhere = abandoned(tmp_path / "out", child.pid, 1, "0" * 8)  # of a container with the same host name
    atomic.create_dir_once(tmp_path / "out", lambda folder: (folder / "a").touch())
    assert [x.exists() for x in (dead, reused, alive, elsewhere)] == [False, False, True, True]
    assert all(atomic.TEMP.fullmatch(folder.name) for folder in (dead, alive))


def test_a_live_container_with_the_same_host_name_keeps_its_folder(tmp_path):
    code = (
        "import sys; from xner_ray.storage import atomic\n"
        "with atomic.new_dir(sys.argv[1]) as folder:\n"
        "    (folder / 'a').touch(); print(folder.name, flush=True); sys.stdin.read()\n"
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code, str(tmp_path / "out")]
    if subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True).returncode:
        pytest.skip("namespaces cannot be made here")
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen(command, **pipes) as other:
        folder = tmp_path / other.stdout.readline().strip()
        atomic.create_dir_once(tmp_path / "out", lambda folder: (folder / "b").touch())
        assert folder.exists()
        other.communicate()


def test_a_replaced_folder_is_there_at_every_moment(tmp_path):
    folder, stop = tmp_path / "folder", FORK.Event()
    atomic.replace_dir(folder, lambda temporary: (temporary / "weights").write_text("0"))

    def replace() -> None:
        for n in range(300):
            atomic.replace_dir(folder, lambda temporary, n=n: (temporary / "weights").write_text(str(n)))
        stop.set()

    writer = FORK.Process(target=replace)
    writer.start()
    missing = 0
    while not stop.is_set():
        missing += not folder.exists()
    writer.join(60)
    assert not missing and names(tmp_path) == ["folder"]


def test_a_file_system_without_exchange_replaces_folders_in_two_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    for name in ("a", "b"):
        atomic.replace_dir(tmp_path / "folder", lambda folder, name=name: (folder / name).touch())
        assert names(tmp_path / "folder") == [name] and names(tmp_path) == ["folder"]


@pytest.mark.parametrize(
    "step", ["file.opened", "file.half", "file.written", "file.synced", "file.named", "file.durable"]
)
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, step):
    atomic.write_text(tmp_path / "file", "old")
    child = os.fork()
    if not child:
        os.environ["XNER_FAILPOINT"] = step
        atomic.write_text(tmp_path / "file", "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == ("new" if step in ("file.named", "file.durable") else "old")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("function", [atomic.replace_file, atomic.create_dir_once, atomic.replace_dir])
def test_a_full_disk_is_a_user_error(tmp_path, function, code):
    def write(path: Path) -> None:
        raise OSError(code, os.strerror(code), str(path))

    with pytest.raises(UserError) as e:
        function(tmp_path / "target", write)
    assert e.value.file == tmp_path / "target" and "free space" in e.value.remedy
    assert names(tmp_path) == []


def test_a_file_as_parent_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as e:
        atomic.write_text(tmp_path / "file" / "below", "text")
    assert e.value.file == tmp_path / "file" and e.value.remedy


def test_files_are_synced_before_they_are_renamed(tmp_path, monkeypatch):
    events: list[tuple[str, str]] = []
    sync, sync_folder, rename, replace = atomic._sync_file, atomic.sync_folder, os.rename, os.replace

    def name(path) -> str:
        return "temporary" if atomic.TEMP.fullmatch(Path(path).name) else Path(path).relative_to(tmp_path).as_posix()

    monkeypatch.setattr(atomic, "_sync_file", lambda p: (events.append(("sync", Path(p).name)), sync(p)))
    monkeypatch.setattr(atomic, "sync_folder", lambda p: (events.append(("sync folder", name(p))), sync_folder(p)))
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append(("rename", name(b))), rename(a, b)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("rename", name(b))), replace(a, b)))

    atomic.replace_dir(tmp_path / "folder", lambda folder: (folder / "weights").write_bytes(b"w"))
    expected = [("sync", "weights"), ("sync folder", "temporary"), ("rename", "folder"), ("sync folder", ".")]
    assert events == expected
    events.clear()
    atomic.write_bytes(tmp_path / "file", b"data")
    assert [kind for kind, _ in events] == ["sync", "rename", "sync folder"]
    assert atomic.TEMP.fullmatch(events[0][1]) and events[1:] == [("rename", "file"), ("sync folder", ".")]


def test_a_symlink_is_replaced(tmp_path):
    for target in ("a", "b", "b"):
        atomic.replace_symlink(tmp_path / "current", target)
        assert os.readlink(tmp_path / "current") == target
    assert names(tmp_path) == ["current"]


def test_a_finished_file_is_moved(tmp_path):
    (tmp_path / "file.part").write_bytes(b"whole")
    atomic.move_file(tmp_path / "file.part", tmp_path / "file")
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"whole"


def strange_paths(folder: Path) -> list[Path]:
    os.symlink("nowhere", folder / "dangling")
    os.symlink("loop", folder / "loop")
    (folder / "file").write_text("")
    deep = folder.joinpath(*["y" * 200] * 25)
    return [
        folder / "dangling",
        folder / "loop",
        folder / "file",
        folder / "x" / ("x" * 300),
        deep,
        Path("/proc/x"),
        Path("/dev/null"),
    ]


def test_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path):
    for path in strange_paths(tmp_path):
        with pytest.raises(UserError) as caught:
            atomic.make_folder(path)
        assert caught.value.file == path and "out=" in caught.value.remedy


def test_full_disk_of_a_library_in_rust_is_an_error_with_a_remedy(tmp_path):
    def write(folder: Path) -> None:
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    for make in (atomic.replace_dir, atomic.create_dir_once, atomic.replace_file):
        with pytest.raises(UserError, match="No space left") as caught:
            make(tmp_path / "model", write)
        assert "free space" in caught.value.remedy


def test_first_error_stays_where_the_file_system_became_read_only(tmp_path, monkeypatch):
    def write(path: Path) -> None:
        raise OSError(errno.EROFS, "read-only")

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "cannot delete")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(OSError, match="read-only"):
        atomic.replace_file(tmp_path / "file", write)
