"""Text of other people is printed as it is: never markup, never a control sequence, and in each encoding of a stream."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from xner_ray import schema
from xner_ray.cli import console as cli_console
from xner_ray.cli.main import app
from xner_ray.cli.safe_console import SafeConsole
from xner_ray.observability.safe_text import escape_controls

NASTY = ["[/b]", "[x]", "[red]a[/red]", ":smile:", "[link=http://e]c[/link]", "a\\[b]"]
ESCAPES = {
    "\x1b[2J": "\\u001b[2J",
    "\x1b]0;title\x07": "\\u001b]0;title\\u0007",
    "\x9b31m": "\\u009b31m",
    "a\rb": "a\\rb",
}


def rendered(result: object) -> str:
    console = SafeConsole()
    console.file, console.width = io.StringIO(), 300
    console.print(result, crop=False)
    return console.file.getvalue()


@pytest.mark.parametrize("text", NASTY)
def test_text_is_no_markup_anywhere_in_a_table(text):
    table = Table(title=f"T {text}", caption=f"C {text}")
    table.add_column(f"H {text}")
    table.add_row(text)
    shown = rendered(table)
    assert shown.count(text) == 4
    assert rendered(text).strip() == text


@pytest.mark.parametrize("text", ESCAPES)
def test_control_sequences_are_escaped(text):
    table = Table(title=text)
    table.add_row(text)
    for shown in (rendered(table), rendered(text)):
        assert shown.count(ESCAPES[text]) == 1 + (shown.count("\n") > 2)
    styled = Table()
    styled.add_row(Text(text, "red"))
    for shown in (rendered(styled), rendered(Text(text, "red"))):  # rich itself removes some of them
        assert escape_controls(shown) == shown
    assert escape_controls(f"a\n\t{text}") == f"a\n\t{ESCAPES[text]}"


@pytest.fixture
def xner():
    def run(*args: object):
        return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "250"}, catch_exceptions=False)

    return run


@pytest.mark.parametrize("text", [*NASTY, *ESCAPES])
def test_quarantine_list_shows_excerpts_as_they_are(xner, text, tmp_path, monkeypatch):
    row = {"corpus": text, "language": "de", "pair_id": 1, "stage": "ingest", "reason": text, "excerpt": text}
    rows = pa.Table.from_pylist([row], schema=schema.QUARANTINE)
    monkeypatch.setattr("xner_ray.labeling.quarantine.quarantined_rows", lambda out: rows)
    shown = xner("quarantine", "list", tmp_path).stdout
    assert shown.count(ESCAPES.get(text, text)) == 3
    assert json.loads(xner("quarantine", "list", tmp_path, "--json").stdout) == row


@pytest.mark.parametrize("text", NASTY)
def test_corpus_ingest_takes_any_name(xner, text, tmp_path):
    (tmp_path / "c.tsv").write_text("1\tOne bird sang.\tEin Vogel sang.\n", encoding="utf-8")
    args = [tmp_path / "c.tsv", "--format", "tsv", "--target", "de", "--out", tmp_path / "out", "--name", text]
    result = xner("corpus", "ingest", *args)
    assert result.exit_code == 0, result.stderr
    assert text.partition("/")[0] in result.stdout


@pytest.mark.parametrize("text", [*NASTY, "\x1b[2J"])
def test_usage_errors_take_any_argument(xner, text):
    for args in ([text], ["run", f"--{text}"], ["run", text], ["tag", "--model", text, "a"], ["plan", "c.yaml", text]):
        assert xner(*args).exit_code == 2


def run_python(code: str, *args: bytes, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "100"}
    return subprocess.run([sys.executable, "-c", code, *args], env=env, capture_output=True, check=False)


PRINTS = (
    "from xner_ray.cli import console as c\nfrom xner_ray.observability.logs import run_logger\n"
    "c.escape_unencodable()\n"
    "c.show('柏林'); c.show_line('柏林'); c.show_json({'a': '柏林😀'}); c.echo('柏林'); run_logger('r')('柏林')\n"
)


def test_stream_that_is_latin1_gets_escapes():
    run = run_python(PRINTS, encoding="latin-1")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.decode("latin-1").splitlines()
    assert lines[0] == lines[1] == lines[3] == "\\u67cf\\u6797" and json.loads(lines[2]) == {"a": "柏林😀"}


def test_data_that_the_stream_cannot_hold_is_an_error(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    cli_console.write_data("München")
    with pytest.raises(cli_console.UserError, match="encoding") as caught:
        cli_console.write_data("柏林")
    assert "PYTHONIOENCODING" in caught.value.remedy


MAIN = "import sys\nfrom xner_ray.cli.main import main\nsys.argv[0] = 'xner'\nmain()"


@pytest.mark.parametrize(
    "args",
    [["tag", "--model", ".", "Br\udcfccke"], ["run", "no\udcff.yaml"], ["plan", "configs/tiny.yaml", "out=/tmp/\udcff"],
     ["report", "no\udcff"], ["\udcff"], ["show", "no\udcff"], ["evaluate", "--model", "\udcff", "--data", "\udcff"]],
)  # fmt: skip
def test_bytes_that_are_not_utf8_are_an_error_without_a_traceback(args):
    run = run_python(MAIN, *map(os.fsencode, args))
    assert run.returncode == 2 and b"Traceback" not in run.stderr, run.stderr


@pytest.mark.parametrize("name", ["LocalRayletDiedError", "WorkerCrashedError", "NodeDiedError"])
def test_death_of_ray_is_an_error_with_a_remedy(name, capsys):
    exceptions = pytest.importorskip("ray.exceptions")
    kind = getattr(exceptions, name)
    error = kind("died") if name == "NodeDiedError" else kind()
    with pytest.raises(SystemExit) as caught, cli_console.report_user_errors():
        raise error
    shown = capsys.readouterr().err
    assert caught.value.code == 2 and name in shown and "raylet.out" in shown
