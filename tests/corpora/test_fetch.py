"""Archives with receipts: checked, resumed, adopted, and never incomplete under their final name."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from pathlib import Path

import pytest

from tests.harness.opus_server import Fault, Site, serving
from xner_ray.corpora.opus.catalog import URL_PREFIX, Archive
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, RetryPolicy
from xner_ray.corpora.opus.fetch import (
    FetchItem,
    check_disk_space,
    fetch_archive,
    plan_fetch,
    read_license,
    read_receipt,
    receipt_path,
)
from xner_ray.errors import UserError

FAST = RetryPolicy(connect_timeout=2, read_timeout=2, max_tries=2, first_pause=0.01, max_pause=0.02)
WORDS = [hashlib.md5(str(i).encode()).hexdigest() for i in range(3000)]
README = "Corpus Name: Tiny\n     Package: Tiny.de-en in Moses format\n     License: CC-BY-SA 4.0\n"


def moses(seed: int = 1, notes: dict[str, str] | None = None) -> bytes:
    """A Moses archive of about 100 KB that zip cannot compress much."""
    lines = "\n".join(random.Random(seed).sample(WORDS, 2500)) + "\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in ({"README": README} if notes is None else notes).items():
            archive.writestr(name, text)
        for language in ("de", "en"):
            archive.writestr(f"Tiny.de-en.{language}", lines)
    return packed.getvalue()


ZIP = moses()


def archive_of(name: str = "Tiny", size: int | None = None) -> Archive:
    url = f"{URL_PREFIX}{name}/v1/moses/de-en.txt.zip"
    return Archive(name, "v1", "en", "de", "moses", url, size, 2500, True)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as served:
        served.files["/Tiny/v1/moses/de-en.txt.zip"] = ZIP
        yield served


def fetch_one(site: Site, folder: Path, overwrite: bool = False) -> tuple[FetchItem, dict]:
    with HttpClient(FAST, allow_private_hosts=True) as http:
        item = plan_fetch(archive_of(), folder, site.url, http, ProgressListener(), overwrite)
        return item, fetch_archive(item, http, ProgressListener(), "a test")


def test_archive_gets_a_receipt(site, tmp_path):
    item, receipt = fetch_one(site, tmp_path)
    assert (item.state, item.size, item.remaining) == ("absent", len(ZIP), len(ZIP))
    assert item.path == tmp_path / "Tiny/v1/moses/de-en.txt.zip" and item.path.read_bytes() == ZIP
    assert receipt == json.loads(receipt_path(item.path).read_text()) == read_receipt(item.path)
    assert receipt["sha256"] == hashlib.sha256(ZIP).hexdigest() and receipt["bytes"] == len(ZIP)
    assert receipt["url"] == f"{site.url}/Tiny/v1/moses/de-en.txt.zip" and receipt["etag"] == site.etag(ZIP)
    assert receipt["license"] == {"name": "CC-BY-SA 4.0", "file": "README", "text": README.strip()}
    assert set(receipt["entries"]) == {"README", "Tiny.de-en.de", "Tiny.de-en.en"}
    assert sorted(x.name for x in item.path.parent.iterdir()) == ["de-en.txt.zip", "de-en.txt.zip.json"]


def test_fetched_archive_causes_no_request(site, tmp_path):
    fetch_one(site, tmp_path)
    site.requests.clear()
    item, receipt = fetch_one(site, tmp_path)
    assert item.state == "fetched" and not site.requests and receipt["sha256"]
    site.files["/Tiny/v1/moses/de-en.txt.zip"] = moses(2)
    item, _ = fetch_one(site, tmp_path, overwrite=True)
    assert item.path.read_bytes() == moses(2)


def test_changed_file_has_no_valid_receipt(site, tmp_path):
    item, _ = fetch_one(site, tmp_path)
    item.path.write_bytes(ZIP[:-1])
    assert read_receipt(item.path) is None
    with pytest.raises(UserError, match=r"has .* bytes, the archive has") as e:
        fetch_one(site, tmp_path)
    assert "--again" in e.value.remedy


def test_file_of_the_user_is_checked_and_gets_a_receipt(site, tmp_path):
    path = tmp_path / archive_of().path
    path.parent.mkdir(parents=True)
    path.write_bytes(ZIP)
    item, receipt = fetch_one(site, tmp_path)
    assert item.state == "present" and item.remaining == 0 and "GET" not in {x[0] for x in site.requests}
    assert read_receipt(path) == receipt and receipt["etag"] is None


def test_later_run_resumes(site, tmp_path):
    site.faults = [Fault(cut=90_000), Fault(status=503), Fault(status=503)]
    with pytest.raises(UserError, match="gave up"):
        fetch_one(site, tmp_path)
    item, receipt = fetch_one(site, tmp_path)
    assert item.state == "partial" and 0 < item.received < len(ZIP) and item.remaining == len(ZIP) - item.received
    assert site.ranges()[-1] == f"bytes={item.received}-" and receipt["sha256"] == hashlib.sha256(ZIP).hexdigest()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no zip", "empty", "outside"])
def test_damaged_archive_is_deleted(site, tmp_path, damage):
    flipped = bytearray(ZIP)
    flipped[len(ZIP) // 2] ^= 0xFF
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../escape" if damage == "outside" else "Tiny.de-en.de", "x" if damage == "outside" else "")
    bad = {"truncated": ZIP[:-500], "flipped": bytes(flipped), "no zip": b"<html>moved</html>"}.get(damage)
    site.files["/Tiny/v1/moses/de-en.txt.zip"] = bad or packed.getvalue()
    with pytest.raises(UserError):
        fetch_one(site, tmp_path)
    assert not [x for x in tmp_path.rglob("*") if x.is_file()]
    assert site.ranges() == [None], "an archive that is damaged at its source is not fetched twice"


def test_damaged_resumed_archive_is_fetched_again_in_one_piece(site, tmp_path):
    site.etag = lambda _: '"same"'
    site.files["/Tiny/v1/moses/de-en.txt.zip"] = random.Random(1).randbytes(len(ZIP))
    site.faults = [Fault(cut=90_000), Fault(status=503), Fault(status=503)]
    with pytest.raises(UserError, match="gave up"):
        fetch_one(site, tmp_path)
    site.files["/Tiny/v1/moses/de-en.txt.zip"] = ZIP
    item, _ = fetch_one(site, tmp_path)
    assert item.state == "partial" and item.path.read_bytes() == ZIP and site.ranges()[-1] is None


def test_wrong_length_leaves_no_archive(site, tmp_path):
    site.faults = [Fault(extra=1000) for _ in range(20)]
    with pytest.raises(UserError, match="gave up"):
        fetch_one(site, tmp_path)
    assert not (tmp_path / archive_of().path).exists()


def test_size_comes_from_the_server_or_the_catalog(site, tmp_path):
    site.head = False
    with HttpClient(FAST, allow_private_hosts=True) as http:
        assert plan_fetch(archive_of(size=777), tmp_path, site.url, http, ProgressListener()).remaining == 777
        assert plan_fetch(archive_of(), tmp_path, site.url, http, ProgressListener()).size is None
        site.head = True
        assert plan_fetch(archive_of(size=777), tmp_path, site.url, http, ProgressListener()).size == len(ZIP)
        with pytest.raises(UserError, match="does not exist"):
            plan_fetch(archive_of("Nothing"), tmp_path, site.url, http, ProgressListener())


def test_too_little_disk_space_is_an_error(tmp_path):
    item = FetchItem(archive_of(), "http://x/", tmp_path / "f", 10**18, 0, "absent")
    with pytest.raises(UserError, match="free bytes"):
        check_disk_space([item], tmp_path / "not" / "there" / "yet")
    check_disk_space([], tmp_path)


@pytest.mark.parametrize(
    ("notes", "name", "file"),
    [
        ({"README": "About", "LICENSE": "This corpus is in the public domain."}, "public domain", "LICENSE"),
        ({"README": "License: CC0\n", "LICENSE": "All rights are ours."}, "CC0", "README"),
        ({"LICENSE": "Distributed under CC-BY-NC-SA-4.0, see there"}, "CC-BY-NC-SA-4.0", "LICENSE"),
        ({"docs/LICENSE.txt": "Ask us."}, None, "docs/LICENSE.txt"),
        ({"README": "License: \n"}, None, "README"),
    ],
)
def test_license_is_read_from_the_archive(tmp_path, notes, name, file):
    path = tmp_path / "a.zip"
    path.write_bytes(moses(1, notes))
    license = read_license(path, zipfile.ZipFile(path).namelist())
    assert license and (license["name"], license["file"]) == (name, file) and license["text"] == notes[file].strip()
    path.write_bytes(moses(1, {}))
    assert read_license(path, zipfile.ZipFile(path).namelist()) is None


def test_urls_of_mirrors():
    archive = archive_of()
    assert archive.address(None) == f"{URL_PREFIX}Tiny/v1/moses/de-en.txt.zip"
    for base in ("http://m/opus", "http://m/opus/"):
        assert archive.address(base) == "http://m/opus/Tiny/v1/moses/de-en.txt.zip"
    assert archive.address("http://m/OPUS-") == "http://m/OPUS-Tiny/v1/moses/de-en.txt.zip"
