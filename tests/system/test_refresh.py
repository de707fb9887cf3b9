"""Refreshes with a test server in place of OPUS: no new pairs, new pairs, a broken archive, a worse model.

The stages are real and the weights are random, so that scores mean little. The tests check which pairs are labeled and which
models are trained and promoted. German has no gold and is measured on silver. Chinese has gold.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness.opus_server import serving
from xner_ray.config.load import load_config
from xner_ray.corpora.opus.download import RetryPolicy
from xner_ray.errors import UserError
from xner_ray.labeling.plan import LabelingPlan
from xner_ray.labeling.status import status
from xner_ray.sample.generate import pairs as sample_pairs
from xner_ray.sample.write import write_sample
from xner_ray.storage.shard_store import ShardStore
from xner_ray.text.sentence_keys import pair_keys, target_keys
from xner_ray.workflows.refresh.run_refresh import run_refresh

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
LANGUAGES = ("de", "zh")
CONFIG = """\
name: nightly
out: {folder}/out
data: {folder}/data
languages: [de, zh]
gold: [{{path: "{{data}}/gold/en.train.conll"}}]
corpora: [{{opus: News}}, {{opus: Talks}}]
opus: {{catalog: api, api: "{url}/api", base_url: "{url}"}}
ingest: {{shard_rows: 50, allow_private_hosts: true}}
teacher:
  encoder: tiny
  training: {{epochs: 8, learning_rate: 3.0e-3, loss: cross_entropy, tokens_per_step: 256, freeze_embeddings: false}}
aligner:
  encoder: tiny
  similarity_layer: 1
  num_examples: 60
  threshold: 0.0 # the aligner is untrained; at 0 every word is in a span, so that some sentences are kept
  training: {{epochs: 1, learning_rate: 5.0e-3, freeze_embeddings: false}}
student:
  encoder: tiny
  training: {{epochs: 8, learning_rate: 5.0e-3, loss: cross_entropy, tokens_per_step: 256, freeze_embeddings: false}}
evaluation: [{{name: chinese, language: zh, path: "{{data}}/gold/zh.eval.conll"}}]
refresh: {{silver_sentences: 30, min_growth: 0.03, max_f1_drop: 100, keep_versions: 2, lock_timeout_s: 20}}
"""


class Opus:
    """Two corpora in two languages with versions, their archives and the API that lists them."""

    def __init__(self, site):
        self.site, self.lines, self.rows = site, {}, []
        site.api = self._answer
        for n, language in enumerate(LANGUAGES):
            drawn = _distinct(language, 600)
            for corpus, first in (("News", 0), ("Talks", 200)):
                self.lines[corpus, language] = drawn[first : first + 160]
                self.spare = {**getattr(self, "spare", {}), (corpus, language): drawn[400 + 50 * n : 450 + 50 * n]}

    def publish(self, corpus: str, version: str, languages=LANGUAGES) -> None:
        self.rows = [{**row, "latest": "False"} if row["corpus"] == corpus else row for row in self.rows]
        for language in languages:
            path = f"/{corpus}/{version}/moses/{'-'.join(sorted(('en', language)))}.txt.zip"
            self.site.files[path] = self.archive(corpus, language)
            url = f"https://opus.test/OPUS-{corpus}/{version}/moses/{Path(path).name}"
            pairs, size = len(self.lines[corpus, language]), len(self.site.files[path]) // 1024 + 1
            row = {
                "corpus": corpus,
                "version": version,
                "source": "en",
                "target": language,
                "url": url,
                "latest": "True",
            }
            self.rows.append({**row, "size": size, "alignment_pairs": pairs})

    def archive(self, corpus: str, language: str) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for side, code in enumerate(("en", language)):
                text = "".join(f"{pair[side]}\n" for pair in self.lines[corpus, language])
                archive.writestr(f"{corpus}.en-{language}.{code}", text)
        return data.getvalue()

    def _answer(self, query: dict[str, str]):
        if "corpora" in query:
            return {"corpora": ["News", "Talks"]}
        pair = {query["source"], query["target"]}
        return {"corpora": [row for row in self.rows if {row["source"], row["target"]} == pair]}


def _distinct(language: str, number: int) -> list[tuple[str, str]]:
    """Sentence pairs with distinct keys."""
    drawn = [(p.source, p.target) for p in itertools.islice(sample_pairs(language, "train", 3), 4 * number)]
    keys = pair_keys(pa.array([a for a, _ in drawn]), pa.array([b for _, b in drawn])).tolist()
    distinct = list(dict(zip(reversed(keys), reversed(drawn), strict=True)).values())[::-1]
    assert len(distinct) >= number
    return distinct[:number]


class RefreshFolder:
    """A folder with a config, and the files of its refreshes."""

    def __init__(self, folder: Path, opus: Opus):
        self.folder, self.opus, self.out = folder, opus, folder / "out"
        self.config = folder / "nightly.yaml"
        self.config.write_text(CONFIG.format(folder=folder, url=opus.site.url))
        write_sample(folder / "data", 10, 1, LANGUAGES, gold_sentences=120, eval_sentences=20)

    def refresh(self, *overrides: str):
        policy = RetryPolicy(max_tries=2, first_pause=0.05)
        return run_refresh(load_config(self.config, overrides), self.config, [].append, retry_policy=policy)

    def current(self) -> dict:
        current = json.loads((self.out / "published/current.json").read_text())
        for language, student in current["students"].items():
            assert (self.out / "published" / student["path"] / "model.safetensors").exists()
            assert (self.out / "published/current" / language).resolve() == self.out / "published" / student["path"]
        return current

    def labeled(self) -> dict[str, int]:
        """Rows of every committed shard."""
        _, plan = LabelingPlan.latest(self.out)
        return {shard: m.rows for shard, m in ShardStore(plan.store).committed().items()}

    def trained(self) -> set[Path]:
        return set(self.out.glob("*/**/model.safetensors")) - set(self.out.glob("published/**/*"))

    def silver(self) -> bytes:
        return (self.out / "silver/de.parquet").read_bytes()

    def ledger_adds_up(self) -> bool:
        ledger = status(self.out)["ledger"]
        return ledger["adds_up"] and not ledger["not_judged"]

    def trains_on_silver(self) -> bool:
        held_out = set(target_keys(pq.read_table(self.out / "silver/de.parquet")["target"]).tolist())
        files = list(self.out.glob("dataset/de/*/train.parquet"))
        assert files and held_out
        return any(held_out & set(target_keys(pq.read_table(file)["target"]).tolist()) for file in files)


@pytest.fixture(scope="module")
def refreshed(ray_session, tmp_path_factory):
    """A folder after its first refresh: both corpora are labeled, and students are promoted."""
    with serving() as site:
        opus = Opus(site)
        opus.publish("News", "v1")
        opus.publish("Talks", "v1")
        folder = RefreshFolder(tmp_path_factory.mktemp("refreshes"), opus)
        report = folder.refresh()
        assert report["status"] == "promoted" and report["number"] == 1
        yield folder


def test_first_refresh_labels_all_pairs_and_promotes(refreshed):
    current = refreshed.current()
    assert current["version"] == 1 and set(current["students"]) == set(LANGUAGES)
    kinds = {x: [one["kind"] for one in student["sets"]] for x, student in current["students"].items()}
    assert kinds == {"de": ["silver"], "zh": ["gold"]}
    assert sum(refreshed.labeled().values()) == 4 * 160 and refreshed.ledger_adds_up()
    assert not refreshed.trains_on_silver() and not (refreshed.out / "silver/zh.parquet").exists()
    page = (refreshed.out / "published/reports/000001.md").read_text()
    assert "640 pairs were labeled" in page and "silver: silver-de" in page and "gold: chinese" in page
    assert (refreshed.out / "report.html").exists()


def test_refresh_without_new_pairs_changes_nothing(refreshed):
    """The refresh runs as a job, with its preflight."""
    before = refreshed.current(), refreshed.labeled(), refreshed.trained(), refreshed.silver()
    env = {**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "jobs/refresh.py", str(refreshed.config)]
    plan = subprocess.run([*command, "--dry-run"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert plan.returncode == 0 and "all" in plan.stdout, plan.stderr
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       cluster: " in done.stdout and "Refresh 2 of nightly: nothing new" in done.stdout
    assert (refreshed.current(), refreshed.labeled(), refreshed.trained(), refreshed.silver()) == before


def test_new_version_labels_only_its_new_pairs(refreshed):
    """The new version has 10% more lines, some of them in the middle, and lacks some old lines."""
    labeled, silver, trained = refreshed.labeled(), refreshed.silver(), refreshed.trained()
    for language in LANGUAGES:
        spare, lines = refreshed.opus.spare["News", language], refreshed.opus.lines["News", language]
        refreshed.opus.lines["News", language] = [*lines[:70], *spare[:10], *lines[70:-4], *spare[10:20]]
    refreshed.opus.publish("News", "v2")
    report = refreshed.refresh()
    new = {shard: rows for shard, rows in refreshed.labeled().items() if shard not in labeled}
    assert sum(new.values()) == 2 * 20 and labeled.items() <= refreshed.labeled().items()
    assert refreshed.ledger_adds_up() and refreshed.silver() == silver and not refreshed.trains_on_silver()
    assert report["status"] == "promoted" and refreshed.current()["version"] == 3
    assert len(refreshed.trained() - trained) == 2  # two students; teacher and aligner are not trained again
    for language in LANGUAGES:
        (count,) = report["ingested"][language].values()
        assert (count["read"], count["rows"], count["known"]) == (176, 20, 156)
    labels = [entry for entry in report["work"] if entry["stage"] == "label"]
    assert [entry["amount"] for entry in labels] == [{"pairs": 40}] and report["device"] == "2 CPUs"


def test_broken_archive_fails_and_changes_nothing(refreshed):
    """The refresh fails and changes nothing. After the archive is repaired, the next refresh succeeds."""
    before = refreshed.current(), refreshed.labeled(), refreshed.trained(), refreshed.silver()
    for language in LANGUAGES:
        refreshed.opus.lines["Talks", language] += refreshed.opus.spare["Talks", language][20:23]
    refreshed.opus.publish("Talks", "v2")
    path = "/Talks/v2/moses/en-zh.txt.zip"
    archive = refreshed.opus.site.files[path]
    middle = len(archive) // 3
    refreshed.opus.site.files[path] = archive[:middle] + b"\0" * 20 + archive[middle + 20 :]
    with pytest.raises(UserError):
        refreshed.refresh()
    assert (refreshed.current(), refreshed.labeled(), refreshed.trained(), refreshed.silver()) == before
    report = json.loads((refreshed.out / "published/reports/000004.json").read_text())
    assert report["status"] == "failed" and report["error"]
    assert not (refreshed.folder / "data/opus/Talks/v2/moses/en-zh.txt.zip").exists()

    refreshed.opus.site.files[path] = archive
    report = refreshed.refresh()
    assert report["status"] == "not trained"  # 3 of 320 pairs are less than 3%
    assert sum(refreshed.labeled().values()) == sum(before[1].values()) + 2 * 3
    assert refreshed.current() == before[0] and refreshed.ledger_adds_up()


def test_worse_model_is_not_promoted(refreshed):
    """The learning rate ruins the student. A rate near 0 would not: the English tagger knows German names with the same spelling,
    and may be better on silver."""
    before = refreshed.current()
    report = refreshed.refresh("student.training.learning_rate=0.5", "refresh.max_f1_drop=1")
    assert report["status"] == "not promoted", report["comparisons"]
    lost = {c["language"] for c in report["comparisons"] if c["change"] < -1}
    assert "de" in lost and {line.split(" lost ")[0] for line in report["decision"]} == lost
    assert "changed: student.training.learning_rate: 0.005 -> 0.5" in report["reasons"]
    assert refreshed.current() == before
    assert "Not promoted: " in (refreshed.out / f"published/reports/{report['number']:06d}.md").read_text()

    worse = refreshed.trained()
    report = refreshed.refresh("refresh.max_f1_drop=100")  # the config of before
    assert report["status"] == "promoted" and refreshed.trained() != worse


def test_only_the_configured_number_of_versions_is_kept(refreshed):
    versions = [p.stem for p in (refreshed.out / "published/versions").iterdir()]
    assert len(versions) <= 2 and f"{refreshed.current()['version']:06d}" in versions
    assert {p.name for p in (refreshed.out / "published/students").iterdir() if p.is_dir()} == set(versions)
    kept = {
        x
        for v in versions
        for x in json.loads((refreshed.out / f"published/versions/{v}.json").read_text())["made_of"]
    }
    existing = {
        str(p.relative_to(refreshed.out))
        for p in [*refreshed.out.glob("student/*/*"), *refreshed.out.glob("dataset/*/*")]
        if not p.is_symlink()
    }
    assert (
        kept <= existing and len(existing - kept) <= 4
    )  # of the last refresh: a dataset and a student for each language
