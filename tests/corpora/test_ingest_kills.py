"""An ingest that is killed anywhere leaves the old state or the new one, and gives the same bytes when run again."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.harness.corpus_files import good_moses
from xner_ray.config import Config, CorpusConfig, IngestConfig
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.readers.corpus_reader import Source
from xner_ray.storage.atomic import TEMP

FORK = multiprocessing.get_context("fork")  # forked processes, which do not import Arrow again
RULES = IngestConfig(max_pairs_per_language=None, shard_rows=100, clean={})


def sources(folder: Path, versions: dict[str, range]) -> list[Source]:
    """Overlapping corpora; each number of a range is a pair."""
    folder.mkdir(exist_ok=True)
    result = []
    for name, numbers in versions.items():
        path = good_moses(folder / name, [(f"word {n}", f"Wort {n}") for n in numbers])
        result.append(
            Source(CorpusConfig(name=name, format="moses", path=str(path)), name, str(path), None, ("en", "de"), RULES)
        )
    return result


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The inputs of two generations, and the files of their ingest."""
    folder = tmp_path_factory.mktemp("undisturbed")
    first = sources(folder / "v1", {"a": range(700), "b": range(300, 1000)})
    second = sources(folder / "v2", {"a": range(100, 750), "c": range(900, 1300)})
    collection = Collection(folder / "out")
    for step in (first, second):
        collection.add(step)
    assert len(collection.tombstones()) == 100
    return first, second, files_of(collection.root)


def files_of(root: Path) -> dict[str, bytes]:
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and not TEMP.fullmatch(p.name)]
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def start(root: Path, step: list[Source], failpoint: str = ""):
    def add() -> None:
        os.environ["XNER_FAILPOINT"] = failpoint
        Collection(root).add(step)

    child = FORK.Process(target=add)
    child.start()
    return child


def check_committed(collection: Collection, expected: dict[str, bytes]) -> None:
    """All committed files are as in the undisturbed ingest; temporary files may exist beside them."""
    for folder in collection.generations():
        for name, data in files_of(folder).items():
            assert expected[f"{folder.name}/{name}"] == data


@pytest.mark.parametrize(
    ("point", "generations"),
    [("ingest.read", 1), ("ingest.staged", 1), ("ingest.deduplicated", 1), ("ingest.written", 1), ("ingest.named", 2)],
)
def test_kill_at_a_failpoint(undisturbed, tmp_path, point, generations):
    first, second, expected = undisturbed
    collection = Collection(tmp_path / "out")
    collection.add(first)
    child = start(collection.root, second, point)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL and len(collection.generations()) == generations
    check_committed(collection, expected)
    again = collection.add(second)
    assert (again is None) == (generations == 2)
    assert files_of(collection.root) == expected


def test_kill_at_random_moments(undisturbed, tmp_path):
    first, second, expected = undisturbed
    collection, moments = Collection(tmp_path / "out"), random.Random(1)
    for _ in range(8):
        child = start(collection.root, first if not collection.generations() else second)
        time.sleep(moments.uniform(0, 0.15))
        child.kill()
        child.join(60)
        check_committed(collection, expected)
    for step in (first, second):
        if len(collection.generations()) < 2:
            collection.add(step)
    assert files_of(collection.root) == expected


@pytest.mark.parametrize(
    ("pairs", "point"), [(300, "ingest.drawn"), (None, "ingest.staged"), (None, "ingest.deduplicated")]
)
def test_an_ingest_of_a_run_that_is_killed_starts_again(tmp_path, pairs, point):
    corpora = [
        {"name": s.label, "format": "moses", "path": s.path}
        for s in sources(tmp_path / "v1", {"a": range(700), "b": range(300, 1000)})
    ]
    settings = {"max_pairs_per_language": pairs, "shard_rows": 100}
    config = Config(name="t", out="out", languages=["de"], gold=[{"path": "g"}], corpora=corpora, ingest=settings)
    ingest(config, "de", tmp_path / "undisturbed")

    def killed() -> None:
        os.environ["XNER_FAILPOINT"] = point
        ingest(config, "de", tmp_path / "out")

    child = FORK.Process(target=killed)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL and not (tmp_path / "out").exists()
    ingest(config, "de", tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")
    assert not [p for p in tmp_path.iterdir() if TEMP.fullmatch(p.name)]  # the folder of the killed process is gone
