"""The stage `ingest`: a sample or all pairs made once, and collections that grow."""

from __future__ import annotations

import time
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from xner_ray.config import Config, IngestConfig, RayConfig
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.parallelism import MAX_DOWNLOADS, Parallelism
from xner_ray.corpora.readers.corpus_reader import sources_of
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import Executor, InProcess, RayExecutor
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.dataset import excluded_rows
from xner_ray.pipeline.stages.ingest import Ingest, Ingested
from xner_ray.text.tags import parse_map

INCREMENTAL = {"max_pairs_per_language": None, "incremental": True}


def archive(path: Path, english: list[str], german: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, lines in (("N.en", english), ("N.de", german)):
            # Entries of 1980: the same lines are the same bytes.
            file.writestr(zipfile.ZipInfo(name), "".join(f"{line}\n" for line in lines))


def context(config: Config, executor: Executor | None = None) -> Context:
    return Context.open(config, log=lambda line: None, executor=executor or InProcess())


def growing(tmp_path: Path, numbers: range) -> tuple[Context, Ingested]:
    """A collection over one corpus of these numbers, with a line that cannot be used."""
    english = [*(f"{x} bird" for x in numbers), ""]
    archive(tmp_path / "a", english, [*(f"{x} Vogel" for x in numbers), " Vogel"])
    corpora = [{"name": "a", "domain": "zoo", "format": "moses", "path": str(tmp_path / "a")}]
    settings = {"max_pairs_per_language": None, "shard_rows": 16, "incremental": True}
    config = Config(
        name="t", out=str(tmp_path / "out"), languages=["de"], gold=[{"path": "g"}], corpora=corpora, ingest=settings
    )
    ctx = context(config)
    return ctx, complete(ctx, Ingest(), {})


def test_a_collection_gets_shards_of_new_pairs_only(tmp_path):
    ctx, first = growing(tmp_path, range(40))
    initial = first.shards()
    assert [s.rows for s in initial] == [16, 16, 8] and first.initial_shards() == initial
    assert not excluded_rows(ctx, "de")

    ctx, second = growing(tmp_path, range(3, 50))
    shards = second.shards()
    assert shards[:3] == initial and [s.rows for s in shards[3:]] == [10]
    assert second.initial_shards() == initial and len({s.shard for s in shards}) == 4
    assert pq.read_table(shards[3].path)["target"].to_pylist() == [f"{x} Vogel" for x in range(40, 50)]
    assert len(excluded_rows(ctx, "de").withdrawn) == 3

    total = second.ledger().to_json()
    assert total["read"] == 41 + 48 and total["dropped"]["duplicate"] == 37 and total["quarantined"] == 2
    assert set(second.ledger().by("domain")) == {"zoo"}

    ctx, third = growing(tmp_path, range(3, 50))
    assert third.shards() == shards and third.reports["de"].made_from["generation"] == 2
    assert third.folders["de"] == tmp_path / "out" / "corpus" / "de"


def test_a_collection_takes_every_pair():
    with pytest.raises(ValueError, match="max_pairs_per_language"):
        IngestConfig(max_pairs_per_language=10, incremental=True)
    assert "incremental" not in IngestConfig(max_pairs_per_language=None, incremental=True).fingerprint()


def everything(tmp_path: Path) -> Config:
    """Two corpora that share half of their pairs, with a line that cannot be used and one that a filter drops."""
    for name, numbers in (("a", range(40)), ("b", range(20, 60))):
        lines = [*(str(n) for n in numbers), "same", ""]
        english = [f"{x} bird" if x else "" for x in lines]
        archive(tmp_path / name, english, [f"{x} {'bird' if x == 'same' else 'Vogel'}" for x in lines])
    corpora = [{"name": n, "format": "moses", "path": str(tmp_path / n)} for n in "ba"]
    settings = {"max_pairs_per_language": None, "shard_rows": 16, "clean": {}}
    return Config(
        name="t", out=str(tmp_path / "out"), languages=["de"], gold=[{"path": "g"}], corpora=corpora, ingest=settings
    )


def test_all_pairs_are_the_same_on_ray_and_in_one_process(ray_session, tmp_path):
    config = everything(tmp_path)
    executor = RayExecutor(RayConfig(), tmp_path / "out", lambda line: None)
    ingested = complete(context(config, executor), Ingest(), {})
    report = ingested.reports["de"]
    assert report == ingest(config, "de", tmp_path / "alone")  # shards are compared by their hashes
    assert [(n, c.rows, c.duplicates, c.num_dropped, c.num_quarantined) for n, c in report.corpora.items()] == [
        ("a", 40, 0, 1, 1),
        ("b", 20, 20, 1, 1),
    ]
    # A segment that lost nothing is taken over whole.
    assert [s.rows for s in ingested.shards()] == [16, 16, 8, 12, 8]
    assert not (ingested.folders["de"] / "staging").exists()
    total = ingested.ledger().to_json()
    assert total["read"] == 84 and total["dropped"]["duplicate"] == 20
    assert total["dropped"]["identical_sides"] == 2 and total["quarantined"] == 2


def two_languages(tmp_path: Path, **ingest) -> Config:
    """German and Spanish, with two corpora each, which share half of their pairs."""
    corpora = []
    for language, word in (("de", "Vogel"), ("es", "pájaro")):
        for name, numbers in (("b", range(60)), ("a", range(30, 90))):
            path = tmp_path / f"{name}-{language}"
            with zipfile.ZipFile(path, "w") as file:
                for code, noun in (("en", "bird"), (language, word)):
                    file.writestr(zipfile.ZipInfo(f"N.{code}"), "".join(f"{x} {noun}\n" for x in numbers))
            corpora.append({"name": name, "format": "moses", "path": str(path), "languages": [language]})
    return Config(
        name="t",
        out=str(tmp_path / "out"),
        languages=["de", "es"],
        gold=[{"path": "g"}],
        corpora=corpora,
        ingest={"shard_rows": 16, **ingest},
    )


SETTINGS = {"sample": {"max_pairs_per_language": 50}, "all": {"max_pairs_per_language": None}, "grow": INCREMENTAL}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_languages_and_corpora_on_ray_give_the_files_of_one_process(ray_session, tmp_path, settings):
    config = two_languages(tmp_path, **settings)
    results = {}
    for name in ("alone", "ray"):
        made, lines = config.model_copy(update={"out": str(tmp_path / name)}), []
        executor = RayExecutor(RayConfig(), tmp_path / name, lines.append) if name == "ray" else InProcess()
        ctx = Context.open(made, log=lines.append, executor=executor)
        ingested = complete(ctx, Ingest(), {})
        files = {}
        for language, folder in ingested.folders.items():
            found = sorted(p for p in folder.rglob("*") if p.is_file())
            files |= {f"{language}/{p.relative_to(folder)}": p.read_bytes() for p in found}
        results[name] = files, ingested.ledger().to_rows(), [line for line in lines if line.startswith("[ingest]")]
    assert results["alone"] == results["ray"]
    starts = [line[:12] for line in results["ray"][2]]
    assert set(starts) == {"[ingest] de:", "[ingest] de ", "[ingest] es:", "[ingest] es "} and starts == sorted(
        starts, key=lambda start: (start[9:11], start[11] == " ")
    )
    assert not [name for name in results["ray"][0] if "drawn" in name or "staging" in name]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_of_several_broken_corpora_the_first_of_the_config_is_raised_and_the_others_are_named(
    ray_session, tmp_path, settings
):
    config, lines = two_languages(tmp_path, **settings), []
    broken = [tmp_path / name for name in ("a-de", "b-de", "b-es")]
    for path in broken:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("N.en", "")
    with pytest.raises(UserError) as expected:
        complete(context(config), Ingest(), {})
    executor = RayExecutor(RayConfig(), tmp_path, lines.append)
    with pytest.raises(UserError) as e:
        complete(Context.open(config, log=lines.append, executor=executor), Ingest(), {})
    fields = ("problem", "file", "key", "remedy")
    assert [getattr(e.value, x) for x in fields] == [getattr(expected.value, x) for x in fields]
    named = [path for path in broken if any(str(path) in line for line in lines)]
    assert named == [path for path in broken if str(path) != e.value.file]


def test_requests_and_samples_limit_how_much_runs_at_a_time(tmp_path):
    config = two_languages(tmp_path, max_pairs_per_language=None)

    def limits(made: Config) -> Parallelism:
        return Parallelism.of([sources_of(made, language) for language in made.languages])

    assert limits(config) == Parallelism(None, None)
    url = [config.corpora[0].model_copy(update={"path": "https://host/x.zip"}), *config.corpora[1:]]
    remote = limits(config.model_copy(update={"corpora": url}))
    assert remote.languages * remote.tasks == MAX_DOWNLOADS
    assert limits(two_languages(tmp_path, max_pairs_per_language=4_000_000)) == Parallelism(2, 1)
    assert limits(two_languages(tmp_path, max_pairs_per_language=10**9)) == Parallelism(1, 1)
    assert Parallelism.of([]) == Parallelism(None, None)


@pytest.mark.parametrize("settings", [{}, {"incremental": True}, {"max_pairs_per_language": 8_000_000}])
def test_only_tasks_that_read_corpora_are_limited(tmp_path, monkeypatch, settings):
    limits: dict[str, set[int | None]] = {}

    class Noted(InProcess):
        def map(self, function, items, max_running=None):
            name = getattr(function, "func", function).__name__
            limits.setdefault(name, set()).add(max_running)
            return map(function, items)

    config = two_languages(tmp_path, **{"max_pairs_per_language": None, **settings})
    monkeypatch.setattr(Parallelism, "of", lambda languages: Parallelism(1, 3))
    complete(context(config, Noted()), Ingest(), {})
    assert {name: limit for name, limit in limits.items() if limit != {None}} in ({"_stage": {3}}, {"_draw": {3}})
    assert len(limits) > 1


def test_map_on_ray_keeps_the_order_and_raises_what_a_task_raised(ray_session, tmp_path):
    executor = RayExecutor(RayConfig(), tmp_path, lambda line: None)
    assert list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))
    with pytest.raises(UserError, match="OLD=NEW"):
        list(executor.map(parse_map, ["a=b", "a"]))


def test_map_on_ray_runs_as_many_tasks_at_a_time_as_there_are_cpus(ray_session, tmp_path):
    import ray

    cpus = int(ray.cluster_resources()["CPU"])
    executor = RayExecutor(RayConfig(), tmp_path, lambda line: None)
    assert list(executor.map(partial(meet, folder=tmp_path, number=cpus), range(2 * cpus))) == [True] * 2 * cpus


def meet(item: int, folder: Path, number: int) -> bool:
    """Wait until so many tasks have started; False if they do not within a minute."""
    (folder / str(item)).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < number and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(list(folder.iterdir())) >= number


def test_a_stream_on_ray_gives_items_in_order(ray_session, tmp_path):
    executor = RayExecutor(RayConfig(), tmp_path, lambda line: None)
    assert list(executor.stream(squares, 4)) == [0, 1, 4, 9]
    assert executor.compute(add, 2) >= 3


def squares(n: int, threads: int):
    for x in np.arange(n):
        yield int(x * x)


def add(n: int, threads: int) -> int:
    return n + threads


@pytest.mark.parametrize(
    "settings", [{}, {"max_pairs_per_language": None}, INCREMENTAL], ids=["sample", "all", "grow"]
)
@pytest.mark.parametrize("lines", ["", "\n\n", "the same on both sides\n"], ids=["empty", "blank", "filtered"])
def test_a_corpus_without_a_usable_pair_is_an_error(tmp_path, settings, lines):
    with zipfile.ZipFile(tmp_path / "a", "w") as file:
        for language in ("en", "de"):
            file.writestr(f"N.{language}", lines)
    corpora = [{"name": "a", "format": "moses", "path": str(tmp_path / "a")}]
    config = Config(
        name="t",
        out=str(tmp_path / "out"),
        languages=["de"],
        gold=[{"path": "g"}],
        corpora=corpora,
        ingest={"clean": {}, **settings},
    )
    for _ in range(2):  # a second run does not pass either
        with pytest.raises(UserError) as e:
            complete(context(config), Ingest(), {})
        assert (e.value.key or "").startswith("corpora") and e.value.remedy
