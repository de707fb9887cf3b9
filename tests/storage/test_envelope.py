"""A shard survives its envelope, and a mixed-up envelope is noticed."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.schema import ENTITIES, ENVELOPE, PAIR
from xner_ray.storage.envelope import pack, repack, unpack

texts = st.text(max_size=30)
rows = st.fixed_dictionaries(
    {
        "corpus": texts,
        "domain": texts,
        "language": st.just("de"),
        "pair_id": st.integers(-(2**63), 2**63 - 1),
        "source": texts,
        "target": texts,
        "corpus_score": st.none() | st.floats(width=32, allow_nan=False),
    }
)


def pairs(count: int) -> pa.Table:
    row = {"corpus": "c", "domain": "d", "language": "de", "source": "s", "target": "t", "corpus_score": None}
    return pa.Table.from_pylist([{**row, "pair_id": i} for i in range(count)], schema=PAIR)


@settings(deadline=None, max_examples=50)
@given(st.lists(rows, max_size=8), st.integers(0, 8), texts)
def test_round_trip(content, cut, shard):
    table = pa.Table.from_pylist(content, schema=PAIR)
    table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])  # chunks and slices, as Ray gives them
    row = pack(shard, "de", table, "hash")
    assert row.schema == ENVELOPE and row.num_rows == 1
    row.validate(full=True)
    assert row["rows"][0].as_py() == len(content) and row["input_hash"][0].as_py() == "hash"
    name, language, back = unpack(row)
    assert (name, language) == (shard, "de")
    assert back.equals(table) and back.schema.equals(table.schema, check_metadata=True)


def test_read_without_a_copy():
    row = pack("s", "de", pairs(5000), "h")
    before = pa.total_allocated_bytes()
    _, _, table = unpack(row)
    assert pa.total_allocated_bytes() - before < 10_000 < table.nbytes
    payload = row["payload"].chunk(0).buffers()[2]
    column = table["pair_id"].chunk(0).buffers()[1]
    assert payload.address <= column.address < payload.address + payload.size


def test_envelopes_in_one_table_stay_apart():
    both = pa.concat_tables([pack("a", "de", pairs(3), "x"), pack("b", "es", pairs(4), "y")]).combine_chunks()
    assert [unpack(both.slice(i, 1))[0] for i in range(2)] == ["a", "b"]
    assert unpack(both.slice(1))[2].equals(pairs(4))


def test_metadata_of_the_table_stays():
    table = pairs(2).replace_schema_metadata({"k": "v"})
    assert unpack(pack("s", "de", table, "h"))[2].schema.metadata == {b"k": b"v"}


def test_a_stage_adds_columns_and_keeps_rows():
    row = pack("s", "de", pairs(3), "h")
    wider = pairs(3).append_column(ENTITIES, pa.array([[], [], []], ENTITIES.type))
    again = repack(row, wider)
    assert again["input_hash"][0].as_py() == "h" and unpack(again)[2].equals(wider)
    with pytest.raises(ValueError, match="3 rows and leaves with 2"):
        repack(row, wider.slice(1))


def test_mixed_up_envelopes_are_noticed():
    a, b = pack("a", "de", pairs(3), "x"), pack("b", "de", pairs(3), "x")
    with pytest.raises(ValueError, match="one row, got 2"):
        unpack(pa.concat_tables([a, b]))
    with pytest.raises(ValueError, match="one row, got 0"):
        unpack(a.slice(1))
    with pytest.raises(ValueError, match="of 'b'"):
        unpack(a.set_column(ENVELOPE.get_field_index("payload"), ENVELOPE.field("payload"), b["payload"]))
    with pytest.raises(ValueError, match="4 rows"):
        unpack(a.set_column(2, ENVELOPE.field("rows"), pa.array([4], pa.int64())))
