"""Inputs, rows and timings of the throughput benchmark."""

from dataclasses import replace

import numpy as np
import pytest

from bench import inputs, timed

TEXTS = ["Anna lebt in Wien.", "Ok", "Die Firma Nordwind ist in Berlin.", "Ein Satz ohne Namen ist lang genug."]


def test_text_is_distinct_and_repeats_are_counted(tmp_path):
    rows = [
        "1\ta\tx",
        "2\ta\ty",
        "3\tb\tx",
        "4\tc\tz",
        "5\tc\tz",
        "6\t\tw",
        "7\td\t" + 2000 * "v",
        "a line without tabs",
    ]
    (tmp_path / "one.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    text = inputs.read_text(tmp_path, "de", 10, tmp_path)
    sources, targets = zip(*text.pairs, strict=True)
    assert len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
    assert ("c", "z") in text.pairs and "d" not in sources
    assert text.repeats == {
        "pairs": round(1 / 6, 4),
        "source sentences": round(2 / 6, 4),
        "target sentences": round(2 / 6, 4),
    }
    with pytest.raises(SystemExit, match="three columns"):
        inputs.read_text(tmp_path / "none", "de", 10, tmp_path)


def test_sample_is_generated_without_a_text_folder(tmp_path):
    text = inputs.read_text(None, "de", 20, tmp_path)
    assert len(text.pairs) == 20 and all(s and t for s, t in text.pairs)


@pytest.fixture(scope="module")
def models(tiny_models):
    from bench.bare import Models

    return Models(None, "de", *tiny_models, "fp32", 256, "cpu")


@pytest.fixture(scope="module")
def recorded(models):
    import pyarrow as pa

    tables = [
        pa.table({"source": TEXTS[:2], "target": TEXTS[2:]}),
        pa.table({"source": TEXTS[2:], "target": TEXTS[:2]}),
    ]
    return models.record(tables), models.labeled_tables()


def test_record_returns_the_rows_of_the_models(models, recorded):
    work, labeled = recorded
    rows = work["limit"]
    assert work["asked"] is rows  # this aligner has no exact matching
    assert rows.sentences == TEXTS
    assert len(rows.ids["teacher"]) == len(TEXTS)
    assert len(rows.ids["aligner"]) == len(rows.queries) > 0
    assert len(rows.ids["similarity"]) == len(rows.compared)
    assert rows.entities == sum(len(e) for t in labeled for e in t["entities"].to_pylist())
    counted = models.engines["teacher"].stats.tokens
    models.label(labeled[0].select(["source"]), "de")  # is not recorded
    assert models.engines["teacher"].stats.tokens > counted
    assert len(rows.ids["teacher"]) == len(TEXTS)


@pytest.mark.parametrize("n", [1, 3])
def test_shares_partition_the_rows(recorded, n):
    rows = recorded[0]["limit"]
    shares = [rows.share(i, n) for i in range(n)]
    assert sum(s.tokens for s in shares) == rows.tokens
    assert sorted(q for s in shares for q in s.queries) == sorted(rows.queries)
    assert sorted(x for s in shares for x in s.sentences) == sorted(rows.sentences)


def test_all_sides_run(models, recorded):
    rows = recorded[0]["limit"]
    models.set_work({"limit": rows, "asked": rows.share(0, 2)})
    assert 0 <= models.prepare(64) < 1
    counts = {kind: sum(x["input_ids"].shape[0] for _, x in inputs) for kind, inputs in models.inputs.items()}
    assert counts["limit"] == sum(len(ids) for ids in rows.ids.values()) > counts["asked"] > 0
    models.forward("limit")
    models.forward("asked")
    models.pipeline(2)
    models.projection()


def test_shares_of_the_account_add_up_to_one():
    def event(name, began, ended, seconds, **parts):
        return {
            "what": name,
            "began": began,
            "ended": ended,
            "seconds": seconds,
            "parts": parts,
            "tokens": 90,
            "padded": 100,
        }

    events = [
        event("label", 5.0, 6.0, 1.0, forward=1.0),  # of the preflight
        event("read", 10.0, 10.1, 0.1),
        event("label", 10.1, 12.0, 1.9, tokenize=0.2, forward=1.5),
        event("align", 12.0, 14.0, 1.8, tokenize=0.1, forward=1.6),
        event("commit", 14.0, 14.5, 0.2),
        event("label", 14.0, 15.0, 0.1),  # after the last commit, which ends the clock
    ]
    account = timed.account(events, 2)
    assert account["seconds"] == 4.5 and account["padding"] == pytest.approx(0.1)
    assert sum(account["shares"].values()) == pytest.approx(1)
    assert account["shares"]["forward"] == pytest.approx(3.1 / 9, abs=1e-4)
    assert account["shares"]["write"] == pytest.approx(0.3 / 9, abs=1e-4)


def test_timed_function_returns_the_result_of_the_function(tiny_models, tmp_path, monkeypatch):
    import pyarrow as pa

    from xner_ray.labeling.shard_functions import LabelFunction, LabelingModels

    monkeypatch.setenv(timed.FOLDER, str(tmp_path))
    settings = LabelingModels({"de": tiny_models[0]}, tiny_models[1], "en", False, 256, "fp32", 1)
    table = pa.table({"source": TEXTS})
    timed_labels, _ = timed.TimedLabel(settings)(table, "de")
    labels, _ = LabelFunction(settings)(table, "de")
    assert timed_labels.equals(labels)
    (account,) = timed.read_events(tmp_path)
    assert account["what"] == "label" and 0 < sum(account["parts"].values()) <= account["seconds"]
    assert 0 < account["tokens"] <= account["padded"]
    assert np.isfinite(account["began"]) and account["began"] < account["ended"]


def test_exact_matches_are_only_in_the_limit(models):
    import pyarrow as pa

    decoding = models.align.projector.decoding
    models.align.projector.decoding = replace(decoding, exact_match_score=0.99)
    work = models.record([pa.table({"source": TEXTS, "target": TEXTS})])
    assert models.align.projector.decoding.exact_match_score
    models.align.projector.decoding = decoding
    limit, asked = ({name: len(ids) for name, ids in work[kind].ids.items()} for kind in ("limit", "asked"))
    assert limit["teacher"] == asked["teacher"] and limit["aligner"] > asked["aligner"]
    assert work["limit"].tokens > work["asked"].tokens and len(models.labeled_tables()) == 1
