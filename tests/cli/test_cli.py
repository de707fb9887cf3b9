"""`xner` from the outside: fast help, mistakes that end in a remedy, and the output of commands."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from xner_ray.cli import tag as cli_tag
from xner_ray.cli.console import find_user_error, report_user_errors
from xner_ray.cli.main import app
from xner_ray.errors import UserError
from xner_ray.ner.tagger import Tagger

ROOT = Path(__file__).parents[2]
STAGES = ["ingest", "teacher", "aligner", "label", "dataset", "student"]
COMMANDS = [
    "run",
    "plan",
    "preflight",
    "refresh",
    "report",
    "show",
    "study",
    *STAGES,
    "evaluate",
    "project",
    "tag",
    "sample",
    "export",
    "export-model",
    "push",
]


@pytest.fixture
def xner():
    """Run a command; gives exit code, stdout and stderr."""

    def run(*args: object, stdin: str | bytes | None = None):
        result = CliRunner().invoke(app, [str(a) for a in args], input=stdin, env={"COLUMNS": "200"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def tagger_folder(tiny_encoder, tmp_path_factory) -> Path:
    """A tagger with a random head: its tags mean nothing, its output has the right shape."""
    from xner_ray.encoders.load import load_model, load_tokenizer

    folder = tmp_path_factory.mktemp("tagger")
    load_model(tiny_encoder, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    return folder


def cpu_seconds() -> float:
    """Of finished child processes: what a start costs, however busy the machine is just now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_fast():
    def once() -> float:
        began = cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "xner_ray.cli", "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0 and all(f" {name} " in done.stdout for name in COMMANDS), done.stderr
        return cpu_seconds() - began

    assert min(once() for _ in range(3)) < 0.8


def test_help_imports_nothing_heavy():
    heavy = {"torch", "ray", "pyarrow", "numpy", "pydantic"}
    code = f"import sys, xner_ray.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def commands(of, *path: str):
    """The words of every command, those of groups included."""
    for name, command in getattr(of, "commands", {}).items():
        yield (*path, name)
        yield from commands(command, *path, name)


EVERY = [" ".join(words) for words in commands(typer.main.get_command(app))]


@pytest.mark.parametrize("command", EVERY)
def test_every_help_is_a_sentence_with_an_example(xner, command):
    result = xner(*command.split(), "--help")
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0 and f"Example: xner {command} " in text, text
    assert re.search(rf"\[OPTIONS\].*? [A-Z][^│╭]*\. Example: xner {command} ", text), text


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["run", "nope.yaml"], ["nope.yaml: no such config", "remedy: "]),
        (["label", "nope.yaml"], ["nope.yaml: no such config"]),
        (["tag", "--model", "nope", "Berlin"], ["nope, key '--model': no such folder", "remedy: "]),
        (["evaluate", "--model", ".", "--data", "x"], ["holds no model (no config.json)"]),
        (["project", "--model", "nope", "--source", "a", "--target", "b"], ["nope, key '--model': no such folder"]),
        (["sample", "--out", "x", "--languages", "de,xx"], ["xx", "remedy: "]),
    ],
)
def test_mistakes_end_in_a_remedy(xner, tmp_path, monkeypatch, args, parts):
    monkeypatch.chdir(tmp_path)
    result = xner(*args)
    assert result.exit_code == 2 and result.stderr.startswith("error: ")
    assert all(part in result.stderr for part in parts) and "Traceback" not in result.stderr


def test_unknown_overrides_are_mistakes(xner, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("name: x\n")
    for override in ("verbose", "=3"):
        result = xner("run", config, override)
        assert result.exit_code == 2 and f"`{override}` is not key=value" in result.stderr


def test_missing_gold_and_bad_maps_are_said_before_the_model_is_loaded(xner, tagger_folder):
    result = xner("evaluate", "--model", tagger_folder, "--data", "nope.conll")
    assert result.exit_code == 2 and "nope.conll, key '--data': no such file" in result.stderr
    result = xner("evaluate", "--model", tagger_folder, "--data", "nope.conll", "--map", "GPE")
    assert result.exit_code == 2 and "`GPE` is not OLD=NEW" in result.stderr


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), report_user_errors():
        1 / 0  # noqa: B018


@pytest.mark.parametrize("resumable", [True, False])
def test_ctrl_c(capsys, resumable):
    with pytest.raises(SystemExit) as stop, report_user_errors(resumable):
        raise KeyboardInterrupt
    assert stop.value.code == 130
    assert ("run the same command again" in capsys.readouterr().err) == resumable


def test_user_errors_come_back_from_ray():
    from ray.exceptions import RayTaskError
    from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

    ours = UserError("bad", file="x", remedy="repair it")
    task = RayTaskError("f", "Traceback of f", ours).as_instanceof_cause()
    for wrapped in (task, WorkerGroupError("failed", {0: task}), ControllerError(task)):
        assert find_user_error(wrapped) is ours
    assert find_user_error(RayTaskError("f", "Traceback", ValueError("x"))) is None


def test_sample(xner, tmp_path):
    result = xner("sample", "--out", tmp_path, "--pairs", 40, "--seed", 3, "--languages", "de,zh")
    assert result.exit_code == 0, result.stderr
    archives = list(tmp_path.rglob("*.zip"))
    assert {p.name for p in archives} == {"de-en.txt.zip", "en-zh.txt.zip"}
    lines = 0
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            lines += sum(len(archive.read(n).splitlines()) for n in archive.namelist() if n.endswith(".en"))
    assert lines == 2 * 40


TEXT, FOUND = "Anna in [New] York", [(0, 4, "PER", 0.91234), (8, 18, "LOC", 0.5)]


def test_entities_as_text_and_json():
    assert cli_tag.in_brackets(TEXT, FOUND) == "[Anna PER] in [[New] York LOC]"
    assert cli_tag.in_brackets("", []) == ""
    assert cli_tag.in_color(TEXT, FOUND).plain == "Anna PER in [New] York LOC"
    row = cli_tag.json_row(TEXT, FOUND)
    assert row["text"] == TEXT
    assert row["entities"][0] == {"start": 0, "end": 4, "type": "PER", "score": 0.9123}


def test_tag_texts_file_and_stdin(xner, tagger_folder, tmp_path):
    lines = ["Anna wohnt in München.", "", "柏林很大。"]
    file = tmp_path / "in.txt"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ways = [
        xner("tag", "--model", tagger_folder, "--json", *lines),
        xner("tag", "--model", tagger_folder, "--json", "--file", file),
        xner("tag", "--model", tagger_folder, "--json", stdin=file.read_bytes()),
        xner("tag", "--model", tagger_folder, "--json", "-", stdin=file.read_bytes()),
    ]
    assert [w.exit_code for w in ways] == [0] * 4, ways[0].stderr
    assert len({w.stdout for w in ways}) == 1
    rows = [json.loads(line) for line in ways[0].stdout.splitlines()]
    assert [row["text"] for row in rows] == lines
    plain = xner("tag", "--model", tagger_folder, *lines).stdout.splitlines()
    entities = [[tuple(e.values()) for e in row["entities"]] for row in rows]
    assert plain == [cli_tag.in_brackets(t, e) for t, e in zip(lines, entities, strict=True)]


def test_text_on_which_the_model_fails_is_printed_with_its_fault(xner, tagger_folder, monkeypatch):
    tag = Tagger.tag

    def fails_on_bad(self, texts, language):
        if "bad" in texts:
            raise ValueError("cannot tag")
        return tag(self, texts, language)

    monkeypatch.setattr(Tagger, "tag", fails_on_bad)
    result = xner("tag", "--model", tagger_folder, "--json", "Anna", "bad", "Ulm")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["Anna", "bad", "Ulm"]
    assert [row.get("fault") for row in rows] == [None, "ValueError: cannot tag", None]
    assert result.exit_code == 2 and "number 2: ValueError: cannot tag" in result.stderr


def test_tag_bad_input(xner, tagger_folder, tmp_path):
    (tmp_path / "latin1.txt").write_bytes("gut\nMünchen\n".encode("latin-1"))
    result = xner("tag", "--model", tagger_folder, "--file", tmp_path / "latin1.txt")
    assert result.exit_code == 2 and "latin1.txt:2: is not UTF-8" in result.stderr
    result = xner("tag", "--model", tagger_folder, "--file", tmp_path / "latin1.txt", "Berlin")
    assert result.exit_code == 2 and "both TEXT and --file" in result.stderr


def test_evaluate(xner, tagger_folder, tmp_path):
    gold = tmp_path / "de.conll"
    gold.write_text("Anna\tB-PER.NAM\nwohnt\tO\nin\tO\nBerlin\tB-LOC\n\nGut\tO\n\n", encoding="utf-8")
    out = tmp_path / "deep" / "scores.json"
    args = ["--data", gold, "--language", "de", "--map", "PER.NAM=PER", "--types", "PER,LOC", "--json", out]
    result = xner("evaluate", "--model", tagger_folder, *args)
    assert result.exit_code == 0, result.stderr
    scores = json.loads(out.read_text())
    assert {"precision", "recall", "f1", "support", "types", "sentences"} <= set(scores)
    assert scores["support"] == 2 and scores["sentences"] == 2
    assert scores["types"]["PER"]["support"] == 1
    assert "de.conll (de)" in result.stdout


def test_jobs_are_thin_and_print_mistakes():
    wrong = {"evaluate": ["--model", "nope", "--data", "x"], "study": ["ablation", "nope.yaml"]}
    for script in sorted((ROOT / "jobs").glob("*.py")):
        assert len(script.read_text().splitlines()) < 100
        done = subprocess.run(
            [sys.executable, str(script), *wrong.get(script.stem, ["nope.yaml"])],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 2 and "remedy: " in done.stderr and "Traceback" not in done.stderr, script
        assert f"jobs/{script.name}" in script.read_text(), "the docstring shows how to submit it"
