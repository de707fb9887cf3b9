"""`xner corpus list` and `xner corpus fetch` from the outside, against a server on loopback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from tests.harness.opus_server import Fault, serving
from xner_ray.cli import corpus as cli_corpus
from xner_ray.cli.corpus_ingest import _format_of
from xner_ray.cli.corpus_tables import Bars
from xner_ray.cli.main import app
from xner_ray.corpora.opus.catalog import Archive
from xner_ray.corpora.opus.fetch import FetchItem

ROOT = Path(__file__).parents[2]
OFFLINE = "http://127.0.0.1:1/"


def packed(name: str, pair: str = "de-en", lines: int = 2000) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("LICENSE", "License: CC0")
        for language in pair.split("-"):
            archive.writestr(f"{name}.{pair}.{language}", "".join(f"{i} {language}\n" for i in range(lines)))
    return data.getvalue()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(cli_corpus, "FIRST_PAUSE", 0.01)
    with serving() as served:
        served.files = {
            "/TED2013/v1.1/moses/de-en.txt.zip": packed("TED2013"),
            "/TED2013/v1.1/moses/en-nl.txt.zip": packed("TED2013", "en-nl"),
            "/WMT-News/v2019/moses/de-en.txt.zip": packed("WMT-News"),
            "/Own/v3/moses/de-en.txt.zip": packed("Own"),
        }
        yield served


@pytest.fixture
def xner(site):
    def run(*args: object):
        env = {"COLUMNS": "160", "XNER_OPUS_API": OFFLINE, "XNER_OPUS_URL": site.url, "NO_PROXY": "127.0.0.1"}
        env["XNER_ALLOW_PRIVATE_HOSTS"] = "1"
        result = CliRunner().invoke(app, ["corpus", *map(str, args)], env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.mark.parametrize("command", ["list", "fetch"])
def test_examples(xner, command):
    assert f"Example: xner corpus {command} " in " ".join(xner(command, "--help").stdout.split())


def test_help_imports_nothing_heavy():
    heavy = {"torch", "ray", "pyarrow", "numpy", "pydantic", "requests", "sqlite3"}
    code = f"import sys, xner_ray.cli.corpus; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "[]"


def test_list(xner):
    done = xner("list", "--source", "en", "--target", "de")
    rows = [x.split() for x in done.stdout.splitlines()]
    assert done.exit_code == 0 and rows[0] == ["corpus", "version", "target", "pairs", "size", "domain"]
    assert ["OpenSubtitles", "v2018", "de", "22,512,639", "710.6", "MB", "subtitles"] in rows
    assert "catalog: opustools" in done.stderr and "cannot be reached" in done.stderr
    assert "OPUS has no UNPC for en-de; OPUS has withdrawn JW300" in done.stderr


def test_list_as_json(xner):
    done = xner("list", "WMT-News", "Europarl", "--target", "de,nl", "--json", "--catalog", "package")
    listed = json.loads(done.stdout)
    assert listed["catalog"].startswith("opustools") and listed["missing"] == {"de": [], "nl": ["WMT-News"]}
    found = {(x["corpus"], x["target"]): x for x in listed["corpora"]}
    assert set(found) == {("WMT-News", "de"), ("Europarl", "de"), ("Europarl", "nl")}
    one = found["WMT-News", "de"]
    assert (one["version"], one["pairs"], one["domain"], one["latest"]) == ("v2019", 45913, "news", True)
    assert one["size"] == 4414 * 1024 and one["url"].startswith("https://")


def test_list_narrowed(xner):
    every = json.loads(xner("list", "TED2013", "Europarl", "--target", "de", "--versions", "--json").stdout)["corpora"]
    assert sorted(x["version"] for x in every) == ["v1.1", "v3", "v7", "v8"]
    news = json.loads(xner("list", "--target", "de", "--domain", "news", "--json").stdout)["corpora"]
    assert {"WMT-News", "News-Commentary"} <= {x["corpus"] for x in news} and {x["domain"] for x in news} == {"news"}


def test_fetch(xner, site, tmp_path):
    args = ("fetch", "TED2013", "WMT-News/v2019", "--target", "de,nl", "--out", tmp_path)
    done = xner(*args)
    assert done.exit_code == 0 and "to fetch: " in done.stderr and "license: CC0" in done.stderr
    assert "no WMT-News/v2019 for en-nl" in done.stderr
    kept = sorted(str(x.relative_to(tmp_path)) for x in tmp_path.rglob("*.zip"))
    assert [f"/{x}" for x in kept] == sorted(x for x in site.files if "Own" not in x)
    site.requests.clear()
    done = xner(*args)
    assert done.exit_code == 0 and "to fetch: 0 bytes" in done.stderr and not site.requests


def test_the_limit(xner, site, tmp_path):
    args = ("fetch", "TED2013", "--target", "de", "--out", tmp_path)
    done = xner(*args, "--limit", 0.00001)
    assert done.exit_code == 2 and "is more than the limit" in done.stderr and "--yes" in done.stderr
    assert "TED2013" in done.stdout and not list(tmp_path.rglob("*.zip")), "what it would be is shown"
    assert xner(*args, "--limit", 0.00001, "--dry-run").exit_code == 0 and not list(tmp_path.rglob("*.zip"))
    assert xner(*args, "--limit", 0.00001, "--yes").exit_code == 0 and list(tmp_path.rglob("*.zip"))


def test_an_unknown_size_needs_a_yes_too(xner, site, tmp_path):
    site.head = False
    args = ("fetch", "Own/v3", "--target", "de", "--out", tmp_path)
    done = xner(*args)
    assert (
        done.exit_code == 2
        and "Own/v3" in done.stderr
        and "--yes" in done.stderr
        and not list(tmp_path.rglob("*.zip"))
    )
    assert xner(*args, "--yes").exit_code == 0 and list(tmp_path.rglob("*.zip"))


@pytest.mark.parametrize("resumed", [0, 40])
def test_bars_count_what_this_run_fetches(tmp_path, resumed):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    archive = Archive("A", "v1", "en", "de", "moses", "http://h/OPUS-A/v1/moses/de-en.txt.zip", 100, 1, True)
    items = [FetchItem(archive, archive.url, tmp_path / "a", 100, resumed, "partial")] * 2
    with Progress(console=console) as progress:
        bars = Bars(progress, items)
        for item in items:
            bars.on_start(str(item.archive), "fetching")
            for done in (resumed, 60, 100):
                bars.on_progress(done, 100)
            bars.on_start(str(item.archive), "checking")
            bars.on_progress(1000, None)
        whole = progress.tasks[0]
        assert (whole.completed, whole.total, whole.visible) == (2 * (100 - resumed), 2 * (100 - resumed), True)
    assert "checking A/v1 en-de" in console.file.getvalue()


def test_one_that_fails_does_not_keep_others_from_coming(xner, site, tmp_path):
    del site.files["/TED2013/v1.1/moses/de-en.txt.zip"]
    site.faults = [Fault(status=503)]
    done = xner("fetch", "TED2013", "WMT-News", "--target", "de", "--out", tmp_path)
    assert (
        done.exit_code == 2 and "does not exist (HTTP 404)" in done.stderr and "1 could not be fetched" in done.stderr
    )
    assert "HTTP 503" in done.stderr
    assert [x.parent.parent.parent.name for x in tmp_path.rglob("*.zip")] == ["WMT-News"]


def test_a_mirror_may_have_what_opus_has_not(xner, tmp_path):
    assert xner("fetch", "Own/v3", "--target", "de", "--out", tmp_path).exit_code == 0
    assert (tmp_path / "Own/v3/moses/de-en.txt.zip").exists()
    assert xner("fetch", "Own", "--target", "de", "--out", tmp_path).exit_code == 2


def test_fetch_what_a_config_names(xner, site, tmp_path):
    paper = ROOT / "configs" / "paper.yaml"
    done = xner("fetch", "--config", paper, f"data={tmp_path}", "TED2013", "--target", "de,nl")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "opus/TED2013/v1.1/moses/en-nl.txt.zip").exists()
    done = xner("fetch", "--config", paper, f"data={tmp_path}", "Nothing")
    assert done.exit_code == 2 and "it has TED2013, OpenSubtitles" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("fetch",), "nothing to fetch"),
        (("fetch", "TED2013"), "nothing to fetch"),
        (("fetch", "Europral", "--target", "de"), "did you mean `Europarl`"),
        (("fetch", "Own/../v1", "--target", "de"), "is not a valid archive name"),
        (("fetch", "../x", "--target", "de"), "is not a valid archive name"),
        (("fetch", "UNPC", "--target", "de"), "no such archive exists"),
        (("fetch", "TED2013", "--target", "de", "--format", "xml"), "moses or tmx"),
        (("list", "--target", "de", "--catalog", "x"), "auto, package or api"),
        (("list", "--target", "de", "--catalog", "api"), "cannot be reached"),
        (("list", "Europral", "--target", "de"), "did you mean `Europarl`"),
    ],
)
def test_mistakes(xner, args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = xner(*args)
    assert done.exit_code == 2 and words in done.stderr and "remedy" in done.stderr


def test_killed_and_resumed(site, tmp_path):
    """SIGKILL in the middle of a body; the next run asks for the rest alone."""
    name = "/TED2013/v1.1/moses/de-en.txt.zip"
    site.files[name] = data = packed("TED2013", lines=60_000)
    site.faults = [Fault(stall=60.0)]
    env = {**os.environ, "XNER_OPUS_API": OFFLINE, "NO_PROXY": "127.0.0.1", "XNER_OPUS_URL": site.url}
    command = [sys.executable, "-m", "xner_ray.cli", "corpus", "fetch", "TED2013", "--target", "de"]
    command += ["--catalog", "package", "--out", str(tmp_path), "--allow-private-hosts"]
    part = tmp_path / "TED2013/v1.1/moses/de-en.txt.zip.part"
    child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while child.poll() is None and not (part.exists() and part.stat().st_size > len(data) // 4):
            time.sleep(0.02)
        assert child.poll() is None, child.stderr.read()
    finally:
        child.kill()
        child.wait()
    there = part.stat().st_size
    assert 0 < there < len(data) and not part.with_name("de-en.txt.zip").exists()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert part.with_name("de-en.txt.zip").read_bytes() == data and site.ranges() == [None, f"bytes={there}-"]
    assert "%" in done.stdout, "how much is here is shown"


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("TED2013/v1.1/moses/de-en.txt.zip", "moses"),
        ("de-en.zip", "moses"),
        ("de-en.tmx", "tmx"),
        ("de-en.tmx.gz", "tmx"),
        ("http://host/de-en.tmx.xz", "tmx"),
        ("de-en.tmx.zip", "tmx"),
        ("de-en.tsv.zst", "tsv"),
        ("de-en.txt", None),
    ],
)
def test_the_format_follows_from_the_name_of_an_archive(path, format):
    assert _format_of(path) == format


def test_columns_of_an_archive(tmp_path):
    file, out = tmp_path / "talk.tsv", tmp_path / "out"
    file.write_text("".join(f"Ein Haus, Nummer {i}.\tA house, number {i}.\tEin dritter Satz.\n" for i in range(9)))
    arguments = ["corpus", "ingest", str(file), "--target", "deu", "--out", str(out)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2 and "columns that cannot be distinguished" in refused.output
    done = CliRunner().invoke(app, [*arguments, "--columns", "de,en,skip"])
    assert done.exit_code == 0, done.output
    wrong = CliRunner().invoke(app, [*arguments, "--format", "moses", "--columns", "de,en"])
    assert wrong.exit_code == 2 and "--columns" in wrong.output
    unknown = CliRunner().invoke(app, [*arguments[:4], "German", *arguments[5:]])
    assert unknown.exit_code == 2 and "did you mean `de`" in unknown.output
