"""Corpora named by their OPUS name: found, read from the disk or a mirror, and told where a pair lacks them."""

from __future__ import annotations

import pytest

from tests.harness.corpus_files import GOOD, good_moses
from tests.harness.opus_server import serving
from xner_ray.config import Config
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.opus.resolve import resolve
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context

PAPER = ["TED2013", "OpenSubtitles/v2018", "UNPC", "Europarl", "WMT-News", "JW300"]


def config(data, corpora: list[dict], languages=("de",), **opus) -> Config:
    keys = {
        "name": "t",
        "out": str(data / "out"),
        "data": str(data),
        "gold": [{"path": "g"}],
        "ingest": {"max_pairs_per_language": 20},
    }
    return Config(**keys, languages=list(languages), corpora=corpora, opus=opus)


def test_each_language_gets_what_it_has(tmp_path):
    said: list[str] = []
    found = resolve(config(tmp_path, [{"opus": x} for x in PAPER], ("de", "zh")), said.append)
    names = {x: [c.name for c in found.corpora_of(x)] for x in ("de", "zh")}
    assert names["de"] == ["TED2013", "OpenSubtitles", "Europarl", "WMT-News"]
    assert names["zh"] == ["TED2013", "OpenSubtitles", "UNPC", "WMT-News"]
    by_name = {c.name: c for c in found.corpora_of("zh")}
    assert by_name["OpenSubtitles"].path.endswith("/OPUS-OpenSubtitles/v2018/moses/en-zh_cn.txt.zip")
    assert by_name["UNPC"].domain == "un" and by_name["UNPC"].format == "moses"
    warnings = [x for x in said if "warning" in x]
    assert len(warnings) == 4 and all("its share goes to the other corpora" in x for x in warnings)
    assert sum("no UNPC for en-de" in x for x in warnings) == sum("no Europarl for en-zh" in x for x in warnings) == 1
    assert sum("JW300 no more" in x for x in warnings) == 2
    assert any("opustools" in x and "4 of them not fetched" in x for x in said)


def test_what_is_fetched_is_read_from_the_disk_and_own_keys_win(tmp_path):
    local = tmp_path / "opus/TED2013/v1.1/moses/de-en.txt.zip"
    local.parent.mkdir(parents=True)
    good_moses(local)
    entry = {"opus": "TED2013", "name": "mine", "domain": "speech", "min_score": 0.5}
    (found,) = resolve(config(tmp_path, [entry]), print).corpora
    assert (found.path, found.name, found.domain, found.min_score) == (str(local), "mine", "speech", 0.5)
    tmx = {"opus": "TED2013", "format": "tmx"}
    (found,) = resolve(config(tmp_path, [tmx], base_url="http://m/"), print).corpora
    assert found.path == "http://m/TED2013/v1.1/tmx/de-en.tmx.gz"


def test_other_corpora_stay_and_nothing_is_asked_for_their_sake(tmp_path, monkeypatch):
    plain = {"name": "n", "format": "moses", "path": "x.zip"}
    monkeypatch.setattr("xner_ray.corpora.opus.resolve.open_catalog", lambda choice: pytest.fail("asked"))
    given = config(tmp_path, [plain])
    assert resolve(given, print) is given
    monkeypatch.undo()
    found = resolve(config(tmp_path, [plain, {"opus": "UNPC"}]), print)
    assert [c.name for c in found.corpora] == ["n"], "an own corpus keeps a language alive"


def test_a_language_without_any_corpus_and_a_slip_of_the_pen(tmp_path):
    for corpora, words in (
        ([{"opus": "UNPC"}], "no corpus is left for `de`"),
        ([{"opus": "Ted2014"}], "no corpus `Ted"),
    ):
        with pytest.raises(UserError, match=words):
            resolve(config(tmp_path, corpora), print)


def test_where_pairs_lie_is_in_no_fingerprint(tmp_path):
    """A run that is done stays done when this key comes into being, or when its archive is fetched later."""
    plain = config(tmp_path, [{"name": "TED2013", "domain": "talks", "format": "moses", "path": "x"}]).corpora[0]
    (found,) = resolve(config(tmp_path, [{"opus": "TED2013"}]), print).corpora
    keys = {"path", "languages"}
    assert found.model_dump(exclude=keys) == plain.model_dump(exclude=keys) and "opus" not in plain.model_dump()


def test_a_mirror_is_ingested_without_fetching_first(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as site:
        packed = good_moses(tmp_path / "a.zip").read_bytes()
        site.files = {"/TED2013/v1.1/moses/de-en.txt.zip": packed}
        run = Context.open(
            config(tmp_path, [{"opus": "TED2013"}, {"opus": "UNPC"}], base_url=site.url), log=lambda line: None
        )
        report = ingest(run.config, "de", tmp_path / "shards")
    assert report.rows == 20 and report.corpora["TED2013"].read == len(GOOD), "the share of UNPC went to TED2013"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"opus": "A", "path": "x"}, "in place of `path`"),
        ({"opus": "A", "format": "tsv"}, "moses and tmx"),
        ({"opus": "A/v1/x"}, "opus"),
        ({"opus": ""}, "opus"),
        ({"format": "moses"}, "path"),
    ],
)
def test_contradictions(tmp_path, entry, words):
    with pytest.raises(ValueError, match=words):
        config(tmp_path, [entry])
