"""Fingerprints: equal for equal values, different for different ones, and a change said in words."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.config import TrainingConfig
from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import canonical_json, describe_change, fingerprint, hash_file, hash_folder

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
keys = st.text(string.ascii_letters, min_size=1)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=12)
parts = st.dictionaries(keys, values, max_size=5)


def turned(value):
    if isinstance(value, dict):
        return {k: turned(v) for k, v in reversed(value.items())}
    return [turned(v) for v in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(parts)
def test_the_order_of_keys_does_not_matter(tree):
    assert fingerprint(tree) == fingerprint(turned(tree))
    assert describe_change(tree, turned(tree)) == []
    assert len(fingerprint(tree)) == 12 and set(fingerprint(tree)) <= set("0123456789abcdef")


@settings(deadline=None)
@given(parts, keys, values, values)
def test_every_value_matters(tree, key, old, new):
    before, after = {**tree, key: old}, {**tree, key: new}
    same = canonical_json(old) == canonical_json(new)
    assert (fingerprint(before) == fingerprint(after)) == same
    assert (describe_change(before, after) == []) == same


@settings(deadline=None)
@given(parts, keys, values)
def test_a_key_more_matters(tree, key, value):
    tree.pop(key, None)
    assert fingerprint(tree) != fingerprint({**tree, key: value})
    assert describe_change(tree, {**tree, key: value})


def test_values_that_look_alike_differ():
    likes = [1, 1.0, "1", True, [1], None, "", [], {}, "null"]
    assert len({fingerprint({"x": v}) for v in likes}) == len(likes)


def test_a_fingerprint_stays_what_it_was():
    # A change here orphans every folder that users have.
    assert fingerprint({"b": [1, 2.5, None], "a": {"ü": True}}) == "1d44e843f260"


def test_models_and_sets_count_as_their_values():
    assert canonical_json({"t": TrainingConfig()}) == canonical_json({"t": TrainingConfig().model_dump()})
    assert canonical_json({"PER", "LOC", "ORG"}) == '["LOC","ORG","PER"]'


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), b"x"])
def test_what_has_no_stable_text_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        fingerprint({"x": value})


def test_changes_read_like_the_command_line():
    old = {
        "teacher": {"training": {"epochs": 3, "loss": "focal"}},
        "corpora": [{"path": "a"}],
        "seeds": [1, 2],
        "gone": 1,
    }
    new = {
        "teacher": {"training": {"epochs": 4, "loss": "focal"}},
        "corpora": [{"path": "ä"}],
        "seeds": [1],
        "new": {"k": None},
    }
    assert describe_change(old, new) == [
        'corpora.0.path: "a" -> "ä"',
        "gone: 1 -> unset",
        "new.k: unset -> null",
        "seeds: [1, 2] -> [1]",
        "teacher.training.epochs: 3 -> 4",
    ]


def test_hash_file_sees_every_rewrite(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    first = hash_file(path)
    assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    stat = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, inode and mtime: ctime tells
    assert hash_file(path) != first


def test_hash_file_reads_an_unchanged_file_once(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(1 << 25))

    def read() -> int:  # bytes that this process asked the kernel for
        return int(Path("/proc/self/io").read_text().split()[1])

    start = read()
    first = hash_file(path)
    once = read()
    assert hash_file(path) == first
    assert once - start >= 1 << 25 > (read() - once) * 100


def test_hash_folder_is_of_the_model_only(tmp_path):
    def folder(name: str, **files: str):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file.replace("_json", ".json").replace("_st", ".safetensors")).write_text(text)
        return hash_folder(tmp_path / name)

    first = folder("a", config_json="{}", model_st="weights", tokenizer_json="t")
    assert folder("b", config_json="{}", model_st="weights", tokenizer_json="t", README="log") == first
    others = [
        folder("c", config_json="{}", model_st="weightz", tokenizer_json="t"),
        folder("d", config_json="{}", model_st="weights", tokenizer_json="u"),
        folder("e", config_json="{}", model_st="weights"),
        folder("f", config_json="t", model_st="weights", tokenizer_json="{}"),
    ]
    assert len({first, *others}) == 5
    assert hash_folder(tmp_path / "b", ["README"]) != first
    with pytest.raises(UserError, match="no file of a saved model") as e:
        hash_folder(tmp_path)
    assert e.value.file == tmp_path and e.value.remedy
