"""The Arrow schemas of sentence pairs. Each stage adds columns and removes none.

Offsets are half-open spans of characters (code points) of the string that they belong to.

    stage     columns
    ingest    corpus, domain, language, pair_id, source, target, corpus_score
    label     entities      list<start, end, type, score>     entities of `source`
              projections   list<entity, start, end, score>   every candidate in `target`
              fault                                           why the models failed on this row
    filter    verdict                                         the first filter that applies
              spans         list<start, end, type, score>     entities of `target`; empty unless the row is kept
    dataset   tokens, ner_tags                                words of `target` and their BIO2 tags
"""

from __future__ import annotations

import pyarrow as pa

PAIR = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),  # of the target side, ISO 639-1
        # Unique within (corpus, language): the line or id in the corpus.
        pa.field("pair_id", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("corpus_score", pa.float32()),
    ]
)

ENTITY = pa.struct(
    [
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),  # 0..1, rounded to 4 decimals
    ]
)
ENTITIES = pa.field("entities", pa.list_(ENTITY), nullable=False)
LABELED = PAIR.append(ENTITIES)

# `entity` is an index of the row's `entities`: the first entity with this text and type. Equal entities are one query.
PROJECTION = pa.struct(
    [
        pa.field("entity", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        # The scores of both models for this span. Null: this model did not run. Both null: an exact string match.
        pa.field("aligner", pa.float32()),  # mean probability of the span's words
        pa.field("similarity", pa.float32()),  # score of the span by the untrained similarity alone
    ]
)
PROJECTIONS = pa.field("projections", pa.list_(PROJECTION), nullable=False)
# `stage: reason` if the models failed on the row, else null. Then its lists are empty.
FAULT = pa.field("fault", pa.string())
ALIGNED = LABELED.append(PROJECTIONS).append(FAULT)

# Subwords and words of both sides. CPU actors compute them before a shard reaches a GPU. They are not stored.
PRETOKEN = pa.struct(
    [
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("id", pa.int32(), nullable=False),  # of a subword in the vocabulary; 0 for a word
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
    ]
)
PRETOKENIZED = pa.field("pretokenized", pa.list_(PRETOKEN), nullable=False)

# Verdicts of rows. `projection/filters.py` defines them.
KEPT, KEPT_NO_ENTITY = "kept", "kept_no_entity"
CONTAMINATION = "contamination"  # the target is a sentence of an evaluation file
UNMAPPED, MENTION_MISMATCH, OVERLAP, LOW_SCORE = "unmapped", "mention_mismatch", "overlap", "low_score"
DROPPED = (CONTAMINATION, UNMAPPED, MENTION_MISMATCH, OVERLAP, LOW_SCORE)
QUARANTINED = "quarantined"
QUALITY_FILTERS = ("identical_sides", "length_ratio", "language")  # reasons of the optional filters of ingest
DUPLICATE = "duplicate"  # reason of ingest; such rows are in no shard, and the ledger counts them as dropped
VERDICTS = (KEPT, KEPT_NO_ENTITY, QUARANTINED, *DROPPED)

SPANS = pa.field("spans", pa.list_(ENTITY), nullable=False)  # entities of the target; empty unless the row is kept
FILTERED = ALIGNED.append(pa.field("verdict", pa.string(), nullable=False)).append(SPANS)
EXPORTED = FILTERED.append(pa.field("tokens", pa.list_(pa.string()), nullable=False)).append(
    pa.field("ner_tags", pa.list_(pa.string()), nullable=False)
)

# A row that could not be read or processed: its origin, the reason, and an excerpt to find it by.
QUARANTINE = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("pair_id", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # ingest | tokenize | label | align
        pa.field("reason", pa.string(), nullable=False),  # e.g. bad_utf8, empty_source, too_long
        pa.field("excerpt", pa.string(), nullable=False),  # first 200 characters of both sides, escaped
    ]
)

# A shard in the labeling graph is one row, because Ray Data splits and merges blocks, but never a row.
ENVELOPE = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("input_hash", pa.string(), nullable=False),
        pa.field("sent", pa.float64(), nullable=False),  # Unix time at which the last actor finished it
        pa.field("payload", pa.large_binary(), nullable=False),  # Arrow IPC stream of the shard's table
    ]
)
