"""The table at the end of a run shows the numbers of results.json, and a ledger that does not add up."""

import copy

import pytest
from rich.console import Console

from xner_ray.errors import UserError
from xner_ray.pipeline.runner import StagePlan
from xner_ray.results.report.table import duration, plan_table, results_table, scores_table

RESULTS = {
    "sets": {
        "news": {
            "language": "de",
            "zero_transfer": {"precision": 60.0, "recall": 70.0, "f1": 64.6},
            "student": {"precision": 71.5, "recall": 72.5, "f1": 72.0},
            "sentences": 1300,
        },
        "weibo [dev]": {
            "language": "zh",
            "zero_transfer": {"precision": 50.0, "recall": 50.0, "f1": 50.0},
            "student": {"precision": 49.0, "recall": 49.0, "f1": 49.0, "runs": 3, "std": {"f1": 0.42}},
            "sentences": 7,
        },
    },
    "ledger": {
        "read": 1000,
        "kept": 600,
        "kept_no_entity": 250,
        "dropped": {"unmapped": 90, "overlap": 10, "low_score": 0},
        "quarantined": 50,
    },
    "source_sets": {"en-dev": {"precision": 90.0, "recall": 90.0, "f1": 90.04}},
    "seconds": {"teacher": 65.4, "label": 4000, "total": 4065.4},
    "folders": {"students": {"de-1": "out/mine/student x", "de-2": "y"}},
}


def printed(renderable) -> str:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable, crop=False)
    return console.export_text()


def test_all_results_are_shown():
    text = printed(results_table(RESULTS, "out/mine"))
    german = next(line for line in text.splitlines() if line.startswith("de "))
    assert " ".join(german.split()) == "de news 60.0 70.0 64.6 71.5 72.5 72.0 +7.4 1,300"
    chinese = next(line for line in text.splitlines() if line.startswith("zh "))
    assert "-1.0" in chinese and "±0.4" in chinese and "weibo [dev]" in chinese
    assert "Teacher on en-dev: F1 90.0" in text
    assert "adds up" in text and "NOT" not in text
    assert "out/mine/results.json" in text and "xner run mine.yaml" in text
    assert "Student of de: out/mine/student/de/current" in text
    assert "xner tag --out out/mine --language de " in text
    assert "teacher 1 min 05 s, label 1 h 06 min; total 1 h 07 min" in text


def test_scores_of_raw_text_and_calibration_errors_are_shown_where_all_sets_have_them():
    results = copy.deepcopy(RESULTS)
    for name, row in results["sets"].items():
        row["student"] |= {"text": {"f1": 70.5}, "ece": 3.21 if name == "news" else None}
    results["source_sets"]["en-dev"] |= {"text": {"f1": 89.96}, "ece": 0.0}
    lines = printed(results_table(results)).splitlines()
    german = next(line for line in lines if line.startswith("de "))
    assert " ".join(german.split()) == "de news 60.0 70.0 64.6 71.5 72.5 72.0 70.5 +7.4 1,300"
    assert max(map(len, lines)) <= 80
    assert "Calibration error of the students in points: news 3.2" in [line.strip() for line in lines]
    assert any("F1 90.0, 90.0 on raw text; calibration error 0.0 points" in line for line in lines)
    del results["sets"]["news"]["student"]["text"]
    assert "70.5" not in printed(results_table(results))


@pytest.mark.parametrize(("model", "ece"), [(None, 1.0), (None, None), ("OUT/model", 1.0)])
def test_an_error_on_the_sentences_that_fitted_the_temperature_says_so(model, ece):
    results = copy.deepcopy(RESULTS) | {"config": {"teacher": {"model": model}}}
    results["source_sets"]["en-dev"] |= {"ece": ece}
    lines = printed(results_table(results)).splitlines()
    assert any(line.startswith("The temperature is fitted on these") for line in lines) == (
        ece is not None and not model
    )


def test_ledger_that_does_not_add_up_is_reported():
    results = copy.deepcopy(RESULTS)
    results["ledger"]["kept"] -= 1
    text = printed(results_table(results))
    assert "does NOT add up: 999 of 1,000" in text


def test_a_run_without_evaluation_sets_ends_with_ledger_teacher_students_and_a_next_step():
    results = {**RESULTS, "sets": {}, "languages": {}, "folders": {"students": {"de": "x", "es": "y"}}}
    text = printed(results_table(results, "out/my run"))
    assert "No evaluation set" in text and "Teacher on en-dev: F1 90.0" in text and "adds up" in text
    assert "Student of es: out/my run/student/es/current" in text
    assert "xner tag --out 'out/my run' --language de 'A sentence" in text
    assert "xner evaluate --out 'out/my run' --language de --data GOLD.conll" in text
    assert "teacher has no score" in " ".join(printed(results_table({**results, "source_sets": {}}, "out")).split())


def test_empty_run_is_shown():
    empty = {"read": 0, "kept": 0, "kept_no_entity": 0, "dropped": {}, "quarantined": 0}
    assert "adds up" in printed(results_table({"languages": {}, "ledger": empty}))


def test_brackets_are_no_markup():
    assert "[bold]" in printed(plan_table([StagePlan("ingest", "reads [bold] de")], "out"))
    row = {"precision": 1, "recall": 2, "f1": 3}
    assert "ORG" in printed(scores_table({**row, "gold": 4, "types": {"ORG": {**row, "support": 4}}}, "x"))


def test_plan_shows_what_is_done_and_why_the_rest_is_not():
    stages = [
        StagePlan("ingest", "pairs", 2, 2),
        StagePlan("student", "models", 1, 6, [f"de seed {n}: not started" for n in range(5)]),
        StagePlan("evaluate", "sets", error=UserError("no such gold file", file="x.conll")),
    ]
    text = printed(plan_table(stages, "out"))
    assert "done" in text and "1 of 6 done; to do: de seed 0: not started" in text and "and 1 more" in text
    assert "error: no such gold file" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (7620, "2 h 07 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
