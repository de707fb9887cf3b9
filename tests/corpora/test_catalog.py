"""The catalog of OPUS, with the index of `opustools` and with an API on loopback that responds like the live one."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.opus_server import serving
from xner_ray.corpora.opus.catalog import PAPER, Catalog, newest_versions, open_catalog, opus_codes, version_key
from xner_ray.corpora.opus.opus_index import PackageIndex
from xner_ray.errors import UserError
from xner_ray.language_codes import known_language
from xner_ray.storage.user_cache import create_file_once


@pytest.fixture(scope="module")
def package() -> Catalog:
    return open_catalog("package")


@pytest.mark.parametrize(
    ("name", "target", "version", "thousands"),
    [
        ("OpenSubtitles", "de", "v2018", 22_512),
        ("Europarl", "de", "v8", 1_961),
        ("WikiMatrix", "de", "v1", 1_573),
        ("News-Commentary", "de", "v16", 294),
        ("TED2013", "de", "v1.1", 143),
        ("WMT-News", "de", "v2019", 45),
        ("UNPC", "es", "v1.0", 25_227),
        ("UNPC", "zh", "v1.0", 17_451),
        ("OpenSubtitles", "zh", "v2018", 11_203),
        ("OpenSubtitles", "zh_TW", "v2018", 4_772),
        ("OpenSubtitles/v2016", "de", "v2016", 13_883),
        ("MultiCCAligned", "zh", "v1", 15_181),  # of its latest version, v1.1, this pair has no archive
        ("UN", "es", "v20090831", 74),  # `UNPC` in the index, OPUS-UN in its address
        ("TED2020", "zh", "v1", 402),  # `zh` has 16,382 pairs, `zh_cn` the rest
    ],
)
def test_known_archives(package, name, target, version, thousands):
    found = package.find(name, "en", target)
    assert (found.version, found.pairs // 1000) == (version, thousands)
    assert found.url.endswith(".txt.zip") and found.size > 100_000


@pytest.mark.parametrize(
    ("target", "lacks"),
    [("de", {"UNPC"}), ("es", set()), ("nl", {"UNPC", "WMT-News"}), ("zh", {"Europarl"})],
)
def test_missing_corpora_of_a_pair(package, target, lacks):
    assert {x for x in PAPER if package.find(x, "en", target) is None} == lacks | {"JW300"}


def test_direction_and_case_are_ignored(package):
    here, there = package.find("europarl/V8", "en", "de"), package.find("Europarl", "de", "en")
    assert (here.source, here.target, there.source, there.target) == ("en", "de", "de", "en")
    assert here.url == there.url and here.path == "Europarl/v8/moses/de-en.txt.zip"
    assert package.find("OpenSubtitles", "en", "zh").path.endswith("/en-zh_cn.txt.zip")


def test_unknown_name_gets_the_nearest_as_remedy(package):
    with pytest.raises(UserError, match="no corpus `Europral`") as e:
        package.find("Europral", "en", "de")
    assert "`Europarl`" in e.value.remedy


def test_newest_versions_gives_one_archive_per_corpus(package):
    every = package.archives("en", "zh")
    chosen = newest_versions(every)
    assert len({x.corpus for x in every}) == len(chosen) < len(every)
    assert all(x.size or x.pairs for x in every)
    for one in chosen:  # the mark of OPUS wins, then the order of versions
        versions = [x for x in every if x.corpus == one.corpus]
        assert one.latest or not any(x.latest for x in versions)
    assert newest_versions([]) == []


def test_order_of_versions_agrees_with_the_mark_of_opus(package):
    rows = package.index._query(
        "SELECT DISTINCT corpus, version, latest, url LIKE '%OPUS-UN/%' AS un FROM opusfile", []
    )
    rows = [x for x in rows if x["corpus"] and not x["un"]]
    latest = {x["corpus"]: x["version"] for x in rows if x["latest"] == "True"}
    order: dict[str, str] = {}
    for x in rows:
        order[x["corpus"]] = max(order.get(x["corpus"], x["version"]), x["version"], key=version_key)
    differing = [x for x in latest if order[x] != latest[x]]
    assert len(latest) > 1000 and not differing


@settings(deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=4), st.lists(st.integers(0, 3000), min_size=1, max_size=4))
def test_versions_sort_by_their_numbers(one, other):
    keys = [version_key("v" + ".".join(map(str, x))) for x in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)


def test_opus_codes():
    assert opus_codes("de") == opus_codes("deu") == ["de"]
    assert set(opus_codes("zh")) == set(opus_codes("zh-Hans")) == {"zh", "zh_cn", "zh_CN", "cmn"}
    assert set(opus_codes("zh-tw")) == {"zh_tw", "zh_TW"} and set(opus_codes("pt-BR")) == {"pt_br", "pt_BR"}
    assert {"no", "nb", "nb_NO"} < set(opus_codes("nb")) == set(opus_codes("no")) and opus_codes("toki") == ["toki"]


def test_opus_codes_cover_every_spelling_of_the_index(package):
    index = {x["code"] for side in ("source", "target") for x in package.index._query(
        f"SELECT DISTINCT {side} AS code FROM opusfile WHERE preprocessing IN ('moses', 'tmx')", [])}  # fmt: skip
    known = {code: language for code in index if code and (language := known_language(code))}
    lost = {code: language for code, language in known.items() if code not in opus_codes(language)}
    assert len(known) > 600 and not lost


@pytest.fixture
def api(monkeypatch, package):
    """An API over the same rows that takes one spelling per request, as the live one does."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answer(query: dict[str, str]):
        if "corpora" in query:
            return {"corpora": sorted(package.index.corpora())}
        return {"corpora": package.index.rows([query["source"]], [query["target"]], query["preprocessing"])}

    with serving() as site:
        site.api = answer
        yield site


def test_api_and_package_give_the_same_archives(package, api):
    live = open_catalog("auto", f"{api.url}/opusapi/", allow_private_hosts=True)
    assert live.name == f"{api.url}/opusapi/" and live.note is None
    for target in ("de", "zh", "zh_TW"):
        assert live.archives("en", target) == package.archives("en", target)


def test_package_replaces_an_unreachable_api():
    found = open_catalog("auto", "http://127.0.0.1:1/", allow_private_hosts=True)
    assert found.name.startswith("opustools ") and "cannot be reached" in found.note
    with pytest.raises(UserError, match="cannot be reached"):
        open_catalog("api", "http://127.0.0.1:1/", allow_private_hosts=True).archives("en", "de")


@pytest.mark.parametrize(
    "answer", [[], {"corpora": 1}, {"else": []}, {"corpora": [{"corpus": "x"}]}, {"corpora": ["x"]}]
)
def test_unexpected_data_of_the_api_is_an_error(api, answer):
    api.api = lambda _: answer
    with pytest.raises(UserError, match=r"queried|returned"):
        open_catalog("api", f"{api.url}/", allow_private_hosts=True).archives("en", "de")


@pytest.mark.parametrize(
    "end", ["OPUS-../v1/moses/f.zip", "OPUS-A/../moses/f.zip", "OPUS-A/v1/moses/..", "x/OPUS-A/v1/moses/"]
)
def test_api_cannot_lead_out_of_the_folder(api, end):
    row = {
        "corpus": "A",
        "version": "v1",
        "source": "de",
        "target": "en",
        "size": 9,
        "alignment_pairs": 9,
        "latest": "True",
    }
    api.api = lambda _: {"corpora": [row | {"url": f"https://h/{end}"}]}
    with pytest.raises(UserError, match="is not a valid archive name"):
        open_catalog("api", f"{api.url}/", allow_private_hosts=True).archives("en", "de")


def test_missing_package_is_an_error(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed") as e:
        PackageIndex()
    assert "pip install" in e.value.remedy


def test_index_is_unpacked_whole_by_parallel_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("XNER_CACHE", str(tmp_path / "cache"))
    made, together, paths = [], threading.Barrier(4), []

    def write(path):
        together.wait(timeout=10)  # all four threads see that it is missing
        made.append(path)
        path.write_bytes(b"whole")

    threads = [threading.Thread(target=lambda: paths.append(create_file_once("index.db", write))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and {x.read_bytes() for x in paths} == {b"whole"}
    assert [x.name for x in (tmp_path / "cache").iterdir()] == ["index.db"]
    assert create_file_once("index.db", lambda path: pytest.fail("made twice")).read_bytes() == b"whole"


def test_interrupted_unpacking_leaves_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XNER_CACHE", str(tmp_path))

    def write(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_file_once("index.db", write)
    assert not list(tmp_path.iterdir())
