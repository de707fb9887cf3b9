"""Corpora named by their OPUS name: looked up, read from disk or a mirror, and reported where a pair lacks them."""

from __future__ import annotations

import pytest

from tests.harness.corpus_files import GOOD, good_moses
from tests.harness.opus_server import serving
from xner_ray.config import Config
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.opus.resolve import resolve_corpora
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context

PAPER = ["TED2013", "OpenSubtitles/v2018", "UNPC", "Europarl", "WMT-News", "JW300"]


def config(data, corpora: list[dict], languages=("de",), **opus) -> Config:
    keys = {
        "name": "t",
        "out": str(data / "out"),
        "data": str(data),
        "gold": [{"path": "g"}],
        "ingest": {"max_pairs_per_language": 20, "allow_private_hosts": True},
    }
    return Config(**keys, languages=list(languages), corpora=corpora, opus=opus)


def test_each_language_gets_its_corpora(tmp_path):
    lines: list[str] = []
    resolved = resolve_corpora(config(tmp_path, [{"opus": x} for x in PAPER], ("de", "zh")), lines.append)
    names = {x: [c.name for c in resolved.corpora_of(x)] for x in ("de", "zh")}
    assert names["de"] == ["TED2013", "OpenSubtitles", "Europarl", "WMT-News"]
    assert names["zh"] == ["TED2013", "OpenSubtitles", "UNPC", "WMT-News"]
    by_name = {c.name: c for c in resolved.corpora_of("zh")}
    assert by_name["OpenSubtitles"].path.endswith("/OPUS-OpenSubtitles/v2018/moses/en-zh_cn.txt.zip")
    assert by_name["UNPC"].domain == "un" and by_name["UNPC"].format == "moses"
    warnings = [x for x in lines if "warning" in x]
    assert len(warnings) == 4 and all("its quota goes to the other corpora" in x for x in warnings)
    assert sum("no UNPC for en-de" in x for x in warnings) == sum("no Europarl for en-zh" in x for x in warnings) == 1
    assert sum("withdrawn JW300" in x for x in warnings) == 2
    assert any("opustools" in x and "4 of them not fetched" in x for x in lines)


def test_fetched_archive_is_read_from_disk_and_keys_of_the_entry_win(tmp_path):
    local = tmp_path / "opus/TED2013/v1.1/moses/de-en.txt.zip"
    local.parent.mkdir(parents=True)
    good_moses(local)
    entry = {"opus": "TED2013", "name": "mine", "domain": "speech", "min_score": 0.5}
    (corpus,) = resolve_corpora(config(tmp_path, [entry]), print).corpora
    assert (corpus.path, corpus.name, corpus.domain, corpus.min_score) == (str(local), "mine", "speech", 0.5)
    tmx = {"opus": "TED2013", "format": "tmx"}
    (corpus,) = resolve_corpora(config(tmp_path, [tmx], base_url="http://m/"), print).corpora
    assert corpus.path == "http://m/TED2013/v1.1/tmx/de-en.tmx.gz"


def test_plain_corpora_need_no_catalog(tmp_path, monkeypatch):
    plain = {"name": "n", "format": "moses", "path": "x.zip"}
    monkeypatch.setattr("xner_ray.corpora.opus.resolve.open_catalog", lambda choice: pytest.fail("queried"))
    given = config(tmp_path, [plain])
    assert resolve_corpora(given, print) is given
    monkeypatch.undo()
    resolved = resolve_corpora(config(tmp_path, [plain, {"opus": "UNPC"}]), print)
    assert [c.name for c in resolved.corpora] == ["n"], "a plain corpus is enough for a language"


def test_language_without_corpus_and_unknown_name_are_errors(tmp_path):
    for corpora, words in (
        ([{"opus": "UNPC"}], "no corpus is left for `de`"),
        ([{"opus": "Ted2014"}], "no corpus `Ted"),
    ):
        with pytest.raises(UserError, match=words):
            resolve_corpora(config(tmp_path, corpora), print)


def test_location_is_in_no_fingerprint(tmp_path):
    """A finished run stays finished when its archive is fetched later."""
    plain = config(tmp_path, [{"name": "TED2013", "domain": "talks", "format": "moses", "path": "x"}]).corpora[0]
    (corpus,) = resolve_corpora(config(tmp_path, [{"opus": "TED2013"}]), print).corpora
    keys = {"path", "languages"}
    assert corpus.model_dump(exclude=keys) == plain.model_dump(exclude=keys) and "opus" not in plain.model_dump()


def test_mirror_is_ingested_without_fetching(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as site:
        packed = good_moses(tmp_path / "a.zip").read_bytes()
        site.files = {"/TED2013/v1.1/moses/de-en.txt.zip": packed}
        run = Context.open(
            config(tmp_path, [{"opus": "TED2013"}, {"opus": "UNPC"}], base_url=site.url), log=lambda line: None
        )
        report = ingest(run.config, "de", tmp_path / "shards")
    assert report.rows == 20 and report.corpora["TED2013"].read == len(GOOD), "the quota of UNPC goes to TED2013"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"opus": "A", "path": "x"}, "`opus` replaces `path`"),
        ({"opus": "A", "format": "tsv"}, "moses and tmx"),
        ({"opus": "A/v1/x"}, "opus"),
        ({"opus": ""}, "opus"),
        ({"format": "moses"}, "path"),
    ],
)
def test_contradicting_keys_are_errors(tmp_path, entry, words):
    with pytest.raises(ValueError, match=words):
        config(tmp_path, [entry])
