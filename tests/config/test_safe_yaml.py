"""A config that is not usable is an error with its key or line, and never takes long."""

from __future__ import annotations

import time

import pytest

from tests.config.test_config import GOOD
from xner_ray.config.load import load_config
from xner_ray.config.safe_yaml import MAX_BYTES, MAX_DEPTH
from xner_ray.errors import UserError

LINES = GOOD.count("\n")
NINES = "9" * 5000
BOMB = "x0: &x0 [a, a]\n" + "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 10))
MERGES = "x0: &x0 {a: 1}\n" + "".join(f"x{i}: &x{i} {{<<: [{', '.join([f'*x{i - 1}'] * 9)}]}}\n" for i in range(1, 9))
CHAIN = "x0: &x0 [a]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}]\n" for i in range(1, 3000))

TEXTS = {
    "BEL": 'opus: {api: "a"}\n#\x07\n',
    "NUL": "#\0\n",
    "escaped BEL": 'opus: {api: "a\\a"}\n',
    "escaped NUL": 'opus: {api: "a\\0"}\n',
    "escaped surrogate": 'opus: {api: "\\ud800"}\n',
    "many digits": f"seed: {NINES}\n",
    "many hexadecimal digits": f"seed: 0x{NINES}\n",
    "no day": "seed: 2020-99-99\n",
    "tag without value": "seed: !!int abc\n",
    "deep list": "seed: " + "[" * 100_000 + "\n",
    "deep mapping": "seed: " + "{a: " * 3000 + "}" * 3000 + "\n",
    "alias of itself": "seed: &a [*a]\n",
    "alias bomb": BOMB,
    "bomb of merges": MERGES,
    "chain of aliases": CHAIN,
    "tag of Python": "seed: !!python/object:os.system\n",
}


def failure(path, *overrides) -> UserError:
    started = time.monotonic()
    with pytest.raises(UserError) as error:
        load_config(path, overrides)
    assert time.monotonic() - started < 20
    return error.value


@pytest.mark.parametrize("name", TEXTS)
def test_unusable_yaml_is_an_error_with_its_line(name, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(GOOD + TEXTS[name], encoding="utf-8")
    error = failure(path)
    assert error.file == path and error.remedy and error.line is not None and error.line > LINES
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    "override",
    ["corpora.²=x", "corpora.0²=x", "corpora.99999999999=x", "out=\x07", "out=a\0b", "out=\udcff", f"seed={NINES}",
     "seed=" + "[" * 5000, "seed=&a [*a]", 'out="\\ud800"', "seed=2020-99-99", "seed=!!int a", f"{NINES}=1"],
)  # fmt: skip
def test_unusable_override_is_an_error_with_its_key(override, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(GOOD, encoding="utf-8")
    error = failure(path, override)
    assert error.key and override.startswith(error.key.removesuffix("...")) and error.remedy and len(str(error)) < 1000
    str(error).encode()


@pytest.mark.parametrize(
    "override",
    ["student.training.max_grad_norm=.inf", "student.training.learning_rate=.nan", "student.training.learning_rate=7",
     "student.training.gamma=.inf", "aligner.example_sources={bootstrap: .inf}", "opus.limit_gb=.nan",
     "aligner.example_sources={bootstrap: -1, lexicon: 2}", "refresh.lock_timeout_s=.inf", "corpora.0.min_score=.nan",
     "ingest.clean={max_length_ratio: .inf}", "study.loss.gammas=[.nan]", "study.loss.frozen=[-1]",
     "student.seeds=[-1]", "student.seeds=[4294967296]", "seed=-1", "sample={seed: -1}", "study.ablation.seeds=[-1]",
     "seed=true", "student.seeds=[yes]", "label.max_actors=true", "dataset.no_entity_ratio=on"],
)  # fmt: skip
def test_number_that_fails_later_is_an_error_of_the_config(override, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert failure(path, override).key.startswith(override.partition("=")[0])


def test_depth_that_is_allowed_is_parsed(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        GOOD + "study:\n  size:\n    override: {a: " + "[" * (MAX_DEPTH - 4) + "]" * (MAX_DEPTH - 4) + "}\n"
    )
    load_config(path)


def test_override_changes_one_key_where_the_file_has_an_alias(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(GOOD.replace("  training:\n", "  training: &t\n") + "student: {training: *t}\n", encoding="utf-8")
    config = load_config(path, ["student.training.epochs=7"])
    assert (config.teacher.training.epochs, config.student.training.epochs) == (2, 7)


def test_file_that_is_no_config_is_an_error(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(GOOD.encode() + b"# \xe4\n")
    for path in (large, latin, tmp_path, tmp_path / ("x" * 300), "/dev/zero"):
        assert failure(path).remedy


def test_byte_order_mark_is_accepted(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    assert load_config(path).name == "t"
