"""The ledger adds up, or `check` raises an error with the corpus."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.projection.ledger import Ledger, LedgerError

VERDICTS = st.sampled_from(schema.VERDICTS)
CELLS = st.sampled_from([("de", "a", "news"), ("de", "b", "talk"), ("zh", "a", "news")])


def filtered(rows) -> pa.Table:
    names = ("language", "corpus", "domain", "verdict")
    return pa.table({name: pa.array([r[i] for r in rows], pa.string()) for i, name in enumerate(names)})


def ledger_of(rows, quarantined=0) -> Ledger:
    ledger = Ledger()
    for language, corpus, domain, _ in rows:
        ledger.count_read(language, corpus, domain, 1)
    ledger.count_verdicts(filtered(rows))
    if quarantined:
        ledger.count_read("de", "a", "news", quarantined)
        bad = {"corpus": "a", "language": "de", "pair_id": 1, "stage": "label", "reason": "too_long", "excerpt": ""}
        ledger.count_quarantined(pa.Table.from_pylist([bad] * quarantined, schema=schema.QUARANTINE))
    return ledger


def test_totals_by_language_corpus_and_domain():
    rows = [("de", "a", "news", "kept")] * 3 + [("zh", "a", "news", "unmapped"), ("de", "b", "talk", "kept_no_entity")]
    ledger = ledger_of(rows, quarantined=2)
    ledger.check()
    dropped = dict.fromkeys(("duplicate", *schema.DROPPED), 0) | {"unmapped": 1}
    assert ledger.to_json() == {"read": 7, "kept": 3, "kept_no_entity": 1, "dropped": dropped, "quarantined": 2}
    assert {k: v["read"] for k, v in ledger.by("language").items()} == {"de": 6, "zh": 1}
    assert {k: v["read"] for k, v in ledger.by("corpus").items()} == {"a": 6, "b": 1}
    assert {k: v["read"] for k, v in ledger.by("domain").items()} == {"news": 6, "talk": 1}
    assert ledger.by("corpus")["a"]["quarantined"] == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.builds(lambda p, v: (*p, v), CELLS, VERDICTS), max_size=20), st.integers(0, 20), st.integers(0, 2))
def test_merging_parts_and_reading_rows_back_change_nothing(rows, cut, quarantined):
    whole = ledger_of(rows, quarantined)
    whole.check()
    merged = Ledger.from_rows(ledger_of(rows[:cut], quarantined).to_rows())
    merged.merge(ledger_of(rows[cut:]))
    assert merged.to_rows() == whole.to_rows()
    total = whole.to_json()
    out = total["kept"] + total["kept_no_entity"] + sum(total["dropped"].values()) + total["quarantined"]
    assert total["read"] == out == len(rows) + quarantined


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_lost_or_doubled_row_is_an_error(extra):
    ledger = ledger_of([("de", "a", "news", "kept")] * 3 + [("de", "b", "talk", "kept")])
    ledger.count_read("de", "b", "talk", extra)
    with pytest.raises(LedgerError, match=r"b \(de\)"):
        ledger.check()


def test_errors_of_two_corpora_do_not_cancel_out():
    ledger = ledger_of([("de", "a", "news", "kept"), ("de", "b", "talk", "kept")])
    ledger.count_read("de", "a", "news", 1)
    ledger.count_read("de", "b", "talk", -1)
    with pytest.raises(LedgerError):
        ledger.check()


def test_an_unknown_verdict_and_a_corpus_in_two_domains_are_errors():
    with pytest.raises(LedgerError, match="no verdict"):
        Ledger().count_verdicts(filtered([("de", "a", "news", "lost")]))
    with pytest.raises(LedgerError, match="two domains"):
        ledger_of([("de", "a", "news", "kept"), ("de", "a", "talk", "kept")])
