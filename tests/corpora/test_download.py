"""Downloads: the file is complete and never joined from two versions, whatever the server does."""

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
from xner_ray.corpora.opus.download import CHUNK, HttpClient, ProgressListener, RetryPolicy
from xner_ray.errors import UserError

OLD, NEW = (random.Random(seed).randbytes(5 * CHUNK + 12_345) for seed in (1, 2))
FAST = RetryPolicy(connect_timeout=2, read_timeout=0.3, max_tries=4, first_pause=0.01, max_pause=0.05)


class Recorder(ProgressListener):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.progress: list[tuple[int, int | None]] = []

    def on_progress(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))

    def on_warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as served:
        served.files["/f"] = OLD
        yield served


def get(site: Site, folder: Path, policy: RetryPolicy = FAST) -> tuple[bytes, Recorder]:
    listener = Recorder()
    with HttpClient(policy, allow_private_hosts=True) as http:
        http.download(f"{site.url}/f", folder / "f.part", listener)
    return (folder / "f.part").read_bytes(), listener


def test_complete_download_is_not_requested_again(site, tmp_path):
    data, listener = get(site, tmp_path)
    assert data == OLD and not listener.warnings and site.ranges() == [None]
    assert listener.progress[0] == (0, len(OLD)) and listener.progress[-1] == (len(OLD), len(OLD))
    get(site, tmp_path)
    assert len(site.requests) == 1, "a complete part must not be requested again"


def test_reset_connection_is_resumed(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), Fault(cut=CHUNK)]
    data, listener = get(site, tmp_path)
    first, *others = site.ranges()
    assert data == OLD and first is None and len(others) == 2 and len(listener.warnings) == 2
    assert all(x and x.startswith("bytes=") and int(x[6:-1]) >= CHUNK for x in others)
    assert site.requests[-1][2]["If-Range"] == site.etag(OLD)


def test_later_process_resumes(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), *[Fault(status=503)] * 4]
    with pytest.raises(UserError, match=r"503 .*gave up after 4 tries") as e:
        get(site, tmp_path)
    assert "continues from the received part" in e.value.remedy
    there = (tmp_path / "f.part").stat().st_size
    assert there and get(site, tmp_path)[0] == OLD and site.ranges()[-1] == f"bytes={there}-"


def test_changed_file_is_downloaded_from_its_start(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), Fault(swap=NEW)]
    data, listener = get(site, tmp_path)
    assert data == NEW and "has changed" in listener.warnings[-1]


@pytest.mark.parametrize("bad", [Fault(swap=NEW, stitch=True), Fault(shift=1)])
def test_wrong_rest_is_discarded(site, tmp_path, bad):
    site.faults = [Fault(cut=3 * CHUNK), bad]
    data, listener = get(site, tmp_path)
    assert data == site.files["/f"] and "another file" in listener.warnings[-1] and site.ranges()[-1] is None


@pytest.mark.parametrize(
    ("etag", "date", "resumed"),
    [
        ('"strong"', None, '"strong"'),
        ('W/"weak"', "Tue, 03 Apr 2018 20:47:52 GMT", "Tue, 03 Apr 2018 20:47:52 GMT"),
        ('W/"weak"', None, None),
        (None, None, None),
    ],
)
def test_only_a_strong_validator_allows_resuming(site, tmp_path, etag, date, resumed):
    site.etag, site.date = (lambda _: etag), (lambda _: date)
    site.faults = [Fault(cut=3 * CHUNK)]
    data, _ = get(site, tmp_path)
    assert data == OLD and site.requests[-1][2].get("If-Range") == resumed
    assert (site.ranges()[-1] is None) == (resumed is None)


def test_server_without_ranges_restarts(site, tmp_path):
    site.faults = [Fault(cut=3 * CHUNK), Fault(ignore_range=True)]
    assert get(site, tmp_path)[0] == OLD


def test_read_timeout_is_resumed(site, tmp_path):
    site.faults = [Fault(stall=1.0)]
    data, listener = get(site, tmp_path)
    assert data == OLD and "no data in time" in listener.warnings[0] and site.ranges()[1] is not None


def test_missing_bytes_end_in_an_error(site, tmp_path):
    site.faults = [Fault(extra=100) for _ in range(50)]
    with pytest.raises(UserError, match="gave up"):
        get(site, tmp_path)
    assert len(site.ranges()) < 20, "the number of tries must be limited"


def test_temporary_errors_are_retried_and_others_are_not(site, tmp_path):
    site.faults = [Fault(status=500), Fault(status=429, retry_after="0"), Fault(status=503, retry_after="yesterday")]
    data, listener = get(site, tmp_path)
    assert data == OLD and [x.split()[1] for x in listener.warnings] == ["500", "429", "503"]
    for status, words in ((404, "does not exist"), (403, "was refused")):
        (tmp_path / "f.part").unlink()
        site.requests.clear()
        site.faults = [Fault(status=status)]
        with pytest.raises(UserError, match=words):
            get(site, tmp_path)
        assert len(site.requests) == 1


def test_missing_server_and_bad_url_are_errors(tmp_path):
    with HttpClient(FAST, allow_private_hosts=True) as http:
        for url, words in (("http://127.0.0.1:1/f", "no response.*gave up"), ("ftp:/x", "not an HTTP address")):
            with pytest.raises(UserError, match=words):
                http.download(url, tmp_path / "f.part", ProgressListener())


def test_head_gives_size_and_etag(site):
    with HttpClient(FAST, allow_private_hosts=True) as http:
        remote = http.head(f"{site.url}/f", ProgressListener())
        assert (remote.size, remote.etag) == (len(OLD), site.etag(OLD))
        with pytest.raises(UserError, match="does not exist"):
            http.head(f"{site.url}/nothing", ProgressListener())
        site.head = False
        assert http.head(f"{site.url}/f", ProgressListener()).size is None


def test_second_process_is_refused(site, tmp_path):
    class SecondDownload(ProgressListener):
        def on_progress(self, done: int, total: int | None) -> None:
            if done:
                with pytest.raises(UserError, match="another process downloads"):
                    get(site, tmp_path)

    with HttpClient(FAST, allow_private_hosts=True) as http:
        http.download(f"{site.url}/f", tmp_path / "f.part", SecondDownload())
    assert (tmp_path / "f.part").read_bytes() == OLD


def test_damaged_metadata_restarts_the_download(site, tmp_path):
    (tmp_path / "f.part").write_bytes(NEW[:1000])
    (tmp_path / "f.part.json").write_text('{"url": "http')
    assert get(site, tmp_path)[0] == OLD


def test_full_disk_is_a_user_error(site, tmp_path):
    """On a tmpfs in a user namespace, where mounting needs no privileges."""
    script = f"""
import subprocess, sys
from pathlib import Path
from xner_ray.corpora.opus.download import HttpClient, ProgressListener
from xner_ray.errors import UserError
folder = Path({str(tmp_path)!r})
for size in ("128k", "4m"):
    subprocess.run(["mount", "-o", f"remount,size={{size}}", str(folder)], check=True)
    try:
        with HttpClient(allow_private_hosts=True) as http:
            http.download("{site.url}/f", folder / "f.part", ProgressListener())
        sys.stdout.write(str((folder / "f.part").stat().st_size))
    except UserError as e:
        sys.stdout.write(e.problem + ", ")
"""
    mount = f'mount -t tmpfs -o size=128k tmpfs {tmp_path} && exec {sys.executable} -c "$SCRIPT"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces")
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
def test_bytes_always_belong_to_one_version(site, tmp_path_factory, script):
    site.files["/f"], site.faults = OLD, list(script)
    folder = tmp_path_factory.mktemp("any")
    try:
        data, _ = get(site, folder, RetryPolicy(2, 0.5, 20, 0.0, 0.0))
    finally:
        site.faults.clear()
    assert data in (OLD, NEW)
