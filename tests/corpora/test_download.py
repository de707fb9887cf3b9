"""One file over a bad line: whole, of one piece, and never stitched from two, whatever the server does."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.opus_server import Fault, Site, serving
from xner_ray.corpora.opus.download import CHUNK, Http, RetryPolicy, Watch
from xner_ray.errors import UserError

OLD, NEW = (random.Random(seed).randbytes(5 * CHUNK + 12_345) for seed in (1, 2))
HASTE = RetryPolicy(connect=2, silence=0.3, tries=4, pause=0.01, longest=0.05)


class Notes(Watch):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.seen: list[tuple[int, int | None]] = []

    def at(self, done: int, total: int | None) -> None:
        self.seen.append((done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as served:
        served.files["/f"] = OLD
        yield served


def get(site: Site, folder: Path, patience: RetryPolicy = HASTE) -> tuple[bytes, Notes]:
    watch = Notes()
    with Http(patience) as http:
        http.download(f"{site.url}/f", folder / "f.part", watch)
    return (folder / "f.part").read_bytes(), watch


def test_one_answer(site, tmp_path):
    data, watch = get(site, tmp_path)
    assert data == OLD and not watch.notes and site.ranges() == [None]
    assert watch.seen[0] == (0, len(OLD)) and watch.seen[-1] == (len(OLD), len(OLD))
    get(site, tmp_path)
    assert len(site.asked) == 1, "a part that is whole is not asked for again"


def test_a_reset_is_resumed_where_it_happened(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), Fault(cut=CHUNK)]
    data, watch = get(site, tmp_path)
    first, *others = site.ranges()
    assert data == OLD and first is None and len(others) == 2 and len(watch.notes) == 2
    assert all(x and x.startswith("bytes=") and int(x[6:-1]) >= CHUNK for x in others)
    assert site.asked[-1][2]["If-Range"] == site.etag(OLD)


def test_another_process_goes_on(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), *[Fault(status=503)] * 4]
    with pytest.raises(UserError, match=r"503 .*given up after 4 tries") as e:
        get(site, tmp_path)
    assert "goes on where this one stopped" in e.value.remedy
    there = (tmp_path / "f.part").stat().st_size
    assert there and get(site, tmp_path)[0] == OLD and site.ranges()[-1] == f"bytes={there}-"


def test_another_file_by_now_is_fetched_from_its_start(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), Fault(swap=NEW)]
    data, watch = get(site, tmp_path)
    assert data == NEW and "another file" in watch.notes[-1]


@pytest.mark.parametrize("bad", [Fault(swap=NEW, stitch=True), Fault(shift=1)])
def test_a_server_that_sends_the_wrong_rest_is_not_believed(site, tmp_path, bad):
    site.faults = [Fault(cut=3 * CHUNK), bad]
    data, watch = get(site, tmp_path)
    assert data == site.files["/f"] and "another file's" in watch.notes[-1] and site.ranges()[-1] is None


@pytest.mark.parametrize(
    ("etag", "date", "resumed"),
    [
        ('"strong"', None, '"strong"'),
        ('W/"weak"', "Tue, 03 Apr 2018 20:47:52 GMT", "Tue, 03 Apr 2018 20:47:52 GMT"),
        ('W/"weak"', None, None),
        (None, None, None),
    ],
)
def test_only_a_strong_validator_resumes(site, tmp_path, etag, date, resumed):
    site.etag, site.date = (lambda _: etag), (lambda _: date)
    site.faults = [Fault(cut=3 * CHUNK)]
    data, _ = get(site, tmp_path)
    assert data == OLD and site.asked[-1][2].get("If-Range") == resumed
    assert (site.ranges()[-1] is None) == (resumed is None)


def test_a_server_without_ranges_starts_anew(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), Fault(ignore_range=True)]
    assert get(site, tmp_path)[0] == OLD


def test_silence_is_cut_short_and_resumed(site, tmp_path):
    site.faults = [Fault(stall=1.0)]
    data, watch = get(site, tmp_path)
    assert data == OLD and "silence" in watch.notes[0] and site.ranges()[1] is not None


def test_bytes_that_are_announced_and_never_come(site, tmp_path):
    site.faults = [Fault(extra=100) for _ in range(50)]
    with pytest.raises(UserError, match="given up"):
        get(site, tmp_path)
    assert len(site.ranges()) < 20, "it must not go round for ever"


def test_errors_that_pass_and_that_do_not(site, tmp_path):
    site.faults = [Fault(status=500), Fault(status=429, retry_after="0"), Fault(status=503, retry_after="yesterday")]
    data, watch = get(site, tmp_path)
    assert data == OLD and [x.split(";")[0][20:23] for x in watch.notes] == ["500", "429", "503"]
    for status, words in ((404, "is not there"), (403, "was refused")):
        (tmp_path / "f.part").unlink()
        site.asked.clear()
        site.faults = [Fault(status=status)]
        with pytest.raises(UserError, match=words):
            get(site, tmp_path)
        assert len(site.asked) == 1


def test_no_server_and_no_address(tmp_path):
    with Http(HASTE) as http:
        for url, words in (("http://127.0.0.1:1/f", "no answer.*given up"), ("ftp:/x", "no HTTP address")):
            with pytest.raises(UserError, match=words):
                http.download(url, tmp_path / "f.part", Watch())


def test_size_and_etag_beforehand(site):
    with Http(HASTE) as http:
        told = http.look(f"{site.url}/f", Watch())
        assert (told.size, told.etag) == (len(OLD), site.etag(OLD))
        with pytest.raises(UserError, match="is not there"):
            http.look(f"{site.url}/nothing", Watch())
        site.head = False
        assert http.look(f"{site.url}/f", Watch()).size is None


def test_two_at_once_do_not_mix(site, tmp_path):
    class Greedy(Watch):
        def at(self, done: int, total: int | None) -> None:
            if done:
                with pytest.raises(UserError, match="another process is fetching"):
                    get(site, tmp_path)

    with Http(HASTE) as http:
        http.download(f"{site.url}/f", tmp_path / "f.part", Greedy())
    assert (tmp_path / "f.part").read_bytes() == OLD


def test_a_damaged_memory_of_the_server_costs_the_part_and_nothing_else(site, tmp_path):
    (tmp_path / "f.part").write_bytes(NEW[:1000])
    (tmp_path / "f.part.json").write_text('{"url": "http')
    assert get(site, tmp_path)[0] == OLD


def test_full_disk(site, tmp_path):
    """On a tmpfs of our own, in a namespace where anybody may mount one."""
    script = f"""
import subprocess, sys
from pathlib import Path
from xner_ray.corpora.opus.download import Http, Watch
from xner_ray.errors import UserError
folder = Path({str(tmp_path)!r})
for size in ("128k", "4m"):
    subprocess.run(["mount", "-o", f"remount,size={{size}}", str(folder)], check=True)
    try:
        with Http() as http:
            http.download("{site.url}/f", folder / "f.part", Watch())
        sys.stdout.write(str((folder / "f.part").stat().st_size))
    except UserError as e:
        sys.stdout.write(e.problem + ", ")
"""
    mount = f'mount -t tmpfs -o size=128k tmpfs {tmp_path} && exec {sys.executable} -c "$SCRIPT"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*unshare, "sh", "-c", mount],
        env={"SCRIPT": script, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": str(root), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"the disk is full, {len(OLD)}", done.stderr
    assert len(site.ranges()) == 2 and site.ranges()[1] is not None


faults = st.builds(
    Fault,
    status=st.sampled_from([None, None, None, 500, 503]),
    cut=st.none() | st.integers(0, len(OLD)),
    ignore_range=st.booleans(),
    stitch=st.booleans(),
    shift=st.sampled_from([0, 0, 0, -1, 7]),
    extra=st.sampled_from([0, 0, 0, 10]),
    swap=st.sampled_from([None, OLD, NEW]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(faults, max_size=5))
def test_whatever_happens_the_bytes_are_one_version_s(site, tmp_path_factory, script):
    site.files["/f"], site.faults = OLD, list(script)
    folder = tmp_path_factory.mktemp("any")
    try:
        data, _ = get(site, folder, RetryPolicy(2, 0.5, 20, 0.0, 0.0))
    finally:
        site.faults.clear()
    assert data in (OLD, NEW)
