"""Properties: no bytes crash a reader or are lost, samples are reproducible, quotas are proportional."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.corpus_files import check_ledger, config, corpus, moses
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.readers import line_reader
from xner_ray.corpora.readers.utf8 import invalid_rows
from xner_ray.corpora.sampling import BottomK, pair_hash, quotas
from xner_ray.errors import UserError

# Bytes with a meaning for some reader are frequent, so that examples pass the first check.
PIECES = [
    b"\t",
    b"\n",
    b"\r",
    b"a",
    b"1.1",
    b"\xc3\xa4",
    b"\xff",
    b"\xe2\x80\xa8",
    b"\0",
    b"\xf0\x9f",
    b" ",
    b"\xef\xbb\xbf",
]
BYTES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=40).map(b"".join)
TAGS = [
    b"<tu>",
    b"</tu>",
    b'<tuv xml:lang="en">',
    b'<tuv lang="de">',
    b"</tuv>",
    b"<seg>",
    b"</seg>",
    b"&amp;",
    b"<ph>",
]
XML = st.lists(st.sampled_from(TAGS + PIECES), max_size=30).map(b"".join)
UNITS = st.lists(st.tuples(BYTES, BYTES), max_size=8).map(
    lambda units: b"".join(
        b'<tu><tuv lang="en"><seg>%b</seg></tuv><tuv lang="de"><seg>%b</seg></tuv></tu>'
        % tuple(side.translate(None, bytes([*range(9), 11, 12, *range(14, 32), 38, 60, 62])) for side in unit)
        for unit in units
    )
)
LAWS = settings(deadline=None)  # the machine may be busy
RUNS = settings(max_examples=int(os.environ.get("XNER_EXAMPLES", "30")), deadline=None)


CLEAN = {"max_length_ratio": 1.2}
INGESTS = st.sampled_from(
    [
        {"max_pairs_per_language": None},
        {"max_pairs_per_language": 3},
        {"max_pairs_per_language": None, "clean": CLEAN},
        {"max_pairs_per_language": 3, "clean": CLEAN},
    ]
)


def run(write, format: str, ingests: dict, **keys):
    """Ingest the file of `write(path)`; None if it ends in a UserError, which must leave no output."""
    folder = Path(tempfile.mkdtemp())
    try:
        write(folder / "file")
        try:
            report = ingest(config([corpus(folder / "file", format, **keys)], **ingests), "de", folder / "out")
        except UserError as caught:
            report, remedy = None, caught.remedy
        if report is None:
            assert remedy and sorted(p.name for p in folder.iterdir()) == ["file"]
            return None
        check_ledger(folder / "out", report)
        return report.corpora["c"]
    finally:
        shutil.rmtree(folder)


def count_lines(data: bytes) -> int:
    data = data.removeprefix(b"\xef\xbb\xbf")
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


@RUNS
@given(BYTES, BYTES, INGESTS)
def test_moses_counts_every_line(source, target, ingests):
    count = run(lambda path: moses(path, source, target), "moses", ingests)
    if count is not None:
        assert count.read == count_lines(source) == count_lines(target)


@RUNS
@given(BYTES, st.sampled_from(["tsv", "wikimatrix"]), INGESTS)
def test_tsv_counts_every_line(rest, format, ingests):
    data = b"1.2\tfirst\terste\n" * 500 + rest  # these rows decide which columns the file has
    count = run(lambda path: path.write_bytes(data), format, ingests)
    assert count is not None and count.read == count_lines(data)


@RUNS
@given(UNITS | XML, INGESTS)
def test_tmx_counts_every_unit(units, ingests):
    good = b'<tu><tuv lang="en"><seg>a</seg></tuv><tuv lang="de"><seg>b</seg></tuv></tu>'
    data = b"<tmx><body>" + good + units + b"</body></tmx>"
    count = run(lambda path: path.write_bytes(data), "tmx", ingests)
    if count is not None:
        # A unit ends with its end tag, or at the start of the next unit if it has none.
        tags = re.findall(rb"</?tu>", data)
        assert count.read == tags.count(b"</tu>") + sum(a == b == b"<tu>" for a, b in pairwise(tags))


@RUNS
@given(UNITS)
def test_tmx_units_with_any_text_are_read(units):
    good = b'<tu><tuv lang="en"><seg>a</seg></tuv><tuv lang="de"><seg>b</seg></tuv></tu>'
    assert (
        run(
            lambda path: path.write_bytes(b"<tmx>" + good + units + b"</tmx>"), "tmx", {"max_pairs_per_language": None}
        )
        is not None
    )


@RUNS
@given(st.binary(max_size=200), st.sampled_from(["moses", "tsv", "tmx", "wikimatrix"]))
def test_arbitrary_files_end_in_a_user_error_or_a_ledger(data, format):
    run(lambda path: path.write_bytes(data), format, {"max_pairs_per_language": None})


@RUNS
@given(BYTES, BYTES, st.data())
def test_damaged_zips_end_in_a_user_error_or_a_ledger(source, target, data):
    def write(path: Path) -> None:
        whole = bytearray(moses(path, source, target).read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(whole))

    run(write, "moses", {"max_pairs_per_language": None})


@LAWS
@given(st.lists(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=4).map(b"".join), min_size=1))
def test_invalid_rows_agrees_with_python(values):
    def valid(value: bytes) -> bool:
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
        return True

    padded = pa.array([b"x", *values], pa.large_binary())[1:]  # a slice: offsets need not begin at 0
    assert invalid_rows(padded).tolist() == [not valid(v) for v in values]


@LAWS
@given(BYTES, st.integers(1, 9))
def test_blocks_of_any_size_contain_all_lines(data, size):
    class Bytes:
        name, at = "memory", 0

        def read(self, n: int) -> bytes:
            part = data[self.at : self.at + size]
            self.at += size
            return part

    try:
        text = line_reader.strip_bom(data[:size], "memory") + data[size:]
    except UserError:  # drawn bytes may begin like UTF-16 or an archive
        with pytest.raises(UserError):
            list(line_reader.text_blocks(Bytes()))
        return
    blocks = list(line_reader.text_blocks(Bytes()))
    assert b"".join(blocks) == text
    split = [line for block in blocks for line in line_reader.split_lines(block).to_pylist()]
    assert split == [x for x in re.findall(rb"[^\n]*\n?", text) if x]


COUNTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 50), max_size=6)
WEIGHTS = st.lists(st.integers(1, 9), min_size=7, max_size=7)


def by_name(available, weights):
    return dict(zip(available, weights, strict=False))


@LAWS
@given(COUNTS, st.integers(0, 200), WEIGHTS)
def test_quotas_are_proportional_to_weights(available, total, weights):
    weight = by_name(available, weights)
    got = quotas(available, total, weight)
    assert sum(got.values()) == min(total, sum(available.values()))
    assert all(0 <= got[name] <= available[name] for name in available)
    unfilled = [got[name] / weight[name] for name in available if got[name] < available[name]]
    if unfilled:  # no corpus that has more pairs gets less per weight than another one, up to rounding
        assert all((got[name] - 1) / weight[name] <= min(unfilled) + 1 for name in available)
    assert quotas(available, total) == quotas(available, total, dict.fromkeys(available, 7))


@LAWS
@given(COUNTS, st.integers(0, 50), st.integers(0, 200), WEIGHTS)
def test_another_corpus_raises_quotas_by_at_most_the_rounding(available, count, total, weights):
    more = available | {"last": count}
    before, after = quotas(available, total), quotas(more, total)
    assert all(after[name] <= before[name] for name in available)
    before = quotas(available, total, by_name(available, weights))
    after = quotas(more, total, by_name(more, weights))
    assert all(after[name] <= before[name] + 2 for name in available)


@LAWS
@given(st.integers(0, 300), st.integers(0, 40), st.integers(1, 70), st.integers(0, 40))
def test_bottom_k_does_not_depend_on_chunks(rows, k, step, smaller):
    ids = np.arange(rows)
    hashes = pair_hash(1, "c", "de", ids)
    assert len(np.unique(hashes)) == rows
    sample = BottomK(k)
    for at in range(0, rows, step):
        sample.add(pa.table({"pair_id": ids[at : at + step]}), hashes[at : at + step])
    sample.trim(smaller)
    got = sample.result()
    expected = np.sort(np.argsort(hashes)[: min(k, smaller)])
    assert (got["pair_id"].to_pylist() if got is not None else []) == expected.tolist()


def test_hash_is_uniform_and_keyed():
    ids = np.arange(20_000)
    first = pair_hash(1, "a", "de", ids)
    share = np.histogram(first, bins=16, range=(0, 2.0**64))[0] / len(ids)
    assert np.abs(share - 1 / 16).max() < 0.01
    for other in (pair_hash(2, "a", "de", ids), pair_hash(1, "b", "de", ids), pair_hash(1, "a", "es", ids)):
        assert abs(np.corrcoef(first.astype(float), other.astype(float))[0, 1]) < 0.03
