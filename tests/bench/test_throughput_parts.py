"""The sides run the same rows, the account adds up, and the inputs are distinct."""

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


def test_a_sample_stands_in_for_text(tmp_path):
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
    return models.record(tables), models.kept()


def test_what_is_recorded_is_what_is_asked(models, recorded):
    work, labeled = recorded
    asked = work["limit"]
    assert work["asked"] is asked  # this aligner asks about all names
    assert asked.sentences == TEXTS
    assert len(asked.ids["teacher"]) == len(TEXTS)
    assert len(asked.ids["aligner"]) == len(asked.queries) > 0
    assert len(asked.ids["similarity"]) == len(asked.compared)
    assert asked.entities == sum(len(e) for t in labeled for e in t["entities"].to_pylist())
    counted = models.engines["teacher"].stats.tokens
    models.label(labeled[0].select(["source"]), "de")  # no longer recorded
    assert models.engines["teacher"].stats.tokens > counted
    assert len(asked.ids["teacher"]) == len(TEXTS)


@pytest.mark.parametrize("n", [1, 3])
def test_shares_are_a_partition(recorded, n):
    asked = recorded[0]["limit"]
    shares = [asked.share(i, n) for i in range(n)]
    assert sum(s.tokens for s in shares) == asked.tokens
    assert sorted(q for s in shares for q in s.queries) == sorted(asked.queries)
    assert sorted(x for s in shares for x in s.sentences) == sorted(asked.sentences)


def test_the_sides_run(models, recorded):
    asked = recorded[0]["limit"]
    models.take({"limit": asked, "asked": asked.share(0, 2)})
    assert 0 <= models.prepare(64) < 1
    rows = {kind: sum(x["input_ids"].shape[0] for _, x in inputs) for kind, inputs in models.inputs.items()}
    assert rows["limit"] == sum(len(ids) for ids in asked.ids.values()) > rows["asked"] > 0
    models.forward("limit")
    models.forward("asked")
    models.pipeline(2)
    models.projection()


def test_the_account_adds_up():
    def event(what, began, ended, seconds, **parts):
        return {
            "what": what,
            "began": began,
            "ended": ended,
            "seconds": seconds,
            "parts": parts,
            "tokens": 90,
            "padded": 100,
        }

    found = [
        event("label", 5.0, 6.0, 1.0, forward=1.0),  # the preflight's
        event("read", 10.0, 10.1, 0.1),
        event("label", 10.1, 12.0, 1.9, tokenize=0.2, forward=1.5),
        event("align", 12.0, 14.0, 1.8, tokenize=0.1, forward=1.6),
        event("commit", 14.0, 14.5, 0.2),
        event("label", 14.0, 15.0, 0.1),  # nothing follows it: the last commit ends the clock
    ]
    told = timed.account(found, 2)
    assert told["seconds"] == 4.5 and told["padding"] == pytest.approx(0.1)
    assert sum(told["shares"].values()) == pytest.approx(1)
    assert told["shares"]["forward"] == pytest.approx(3.1 / 9, abs=1e-4)
    assert told["shares"]["write"] == pytest.approx(0.3 / 9, abs=1e-4)


def test_timed_work_answers_as_the_work(tiny_models, tmp_path, monkeypatch):
    import pyarrow as pa

    from xner_ray.labeling.shard_functions import LabelFunction, LabelingModels

    monkeypatch.setenv(timed.FOLDER, str(tmp_path))
    settings = LabelingModels({"de": tiny_models[0]}, tiny_models[1], "en", False, 256, "fp32", 1)
    table = pa.table({"source": TEXTS})
    ours, _ = timed.TimedLabel(settings)(table, "de")
    theirs, _ = LabelFunction(settings)(table, "de")
    assert ours.equals(theirs)
    (told,) = timed.events(tmp_path)
    assert told["what"] == "label" and 0 < sum(told["parts"].values()) <= told["seconds"]
    assert 0 < told["tokens"] <= told["padded"]
    assert np.isfinite(told["began"]) and told["began"] < told["ended"]


def test_names_spelled_alike_are_in_the_limit_alone(models):
    import pyarrow as pa

    usual = models.align.projector.decoding
    models.align.projector.decoding = replace(usual, exact_match_score=0.99)
    work = models.record([pa.table({"source": TEXTS, "target": TEXTS})])
    assert models.align.projector.decoding.exact_match_score
    models.align.projector.decoding = usual
    rows = [{name: len(ids) for name, ids in work[kind].ids.items()} for kind in ("limit", "asked")]
    assert rows[0]["teacher"] == rows[1]["teacher"] and rows[0]["aligner"] > rows[1]["aligner"]
    assert work["limit"].tokens > work["asked"].tokens and len(models.kept()) == 1
