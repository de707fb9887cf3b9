"""Arrow schemas of the rows that the stages exchange. Each stage adds columns to a row and removes none.

Offsets are characters (code points) of the text that they refer to, half open.

    pair     corpus, domain, language, pair_id, source, target, corpus_score
    label    entities      list<start, end, type, score>          in source
    align    projections   list<entity, start, end, score>        in target; all candidates are kept
             fault                                                why this row cannot be labeled or aligned
    filter   verdict, spans                                       the first filter that applies; entities of target
    export   tokens, ner_tags                                     BIO2
"""

from __future__ import annotations

import pyarrow as pa

PAIR = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),  # target language, ISO 639-1
        pa.field("pair_id", pa.int64(), nullable=False),  # line number in the corpus, unique within (corpus, language)
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

# `entity` is the index in the row's `entities` of the first entity with the same text and type: equal entities are one query.
PROJECTION = pa.struct(
    [
        pa.field("entity", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        # Scores of both projectors; null where one has no such span or was not run. Both are null for exact matches.
        pa.field("aligner", pa.float32()),  # mean probability of the words of the span
        pa.field("similarity", pa.float32()),  # cosine similarity
    ]
)
PROJECTIONS = pa.field("projections", pa.list_(PROJECTION), nullable=False)
# Null, or `stage: reason` if the row cannot be processed; then its lists are empty.
FAULT = pa.field("fault", pa.string())
ALIGNED = LABELED.append(PROJECTIONS).append(FAULT)

# Tokens and words of both sides, computed on CPUs before a shard reaches a GPU. The column is dropped after alignment.
PRETOKEN = pa.struct(
    [
        pa.field("kind", pa.int8(), nullable=False),  # see ner/pretokenize.py
        pa.field("id", pa.int32(), nullable=False),  # of a token; 0 for a word
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
    ]
)
PRETOKENIZED = pa.field("pretokenized", pa.list_(PRETOKEN), nullable=False)

# Verdicts of the filters, in the order in which they are applied: the first that applies is the verdict.
KEPT, KEPT_NO_ENTITY = "kept", "kept_no_entity"
CONTAMINATION = "contamination"  # the target is an evaluation sentence
DROPPED = (CONTAMINATION, "unmapped", "mention_mismatch", "overlap", "low_score")
QUARANTINED = "quarantined"
CLEANED = ("identical_sides", "length_ratio", "language")  # names of the quality filters of ingest
DUPLICATE = "duplicate"  # dropped by ingest, so no row of a shard has this verdict; the ledger counts it as dropped
VERDICTS = (KEPT, KEPT_NO_ENTITY, QUARANTINED, *DROPPED)

SPANS = pa.field("spans", pa.list_(ENTITY), nullable=False)  # entities of the target; empty unless the row is kept
JUDGED = ALIGNED.append(pa.field("verdict", pa.string(), nullable=False)).append(SPANS)
EXPORTED = JUDGED.append(pa.field("tokens", pa.list_(pa.string()), nullable=False)).append(
    pa.field("ner_tags", pa.list_(pa.string()), nullable=False)
)

# A row that cannot be read or processed, the reason, and an excerpt to find it again.
QUARANTINE = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("pair_id", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # ingest | tokenize | label | align | rules
        pa.field("reason", pa.string(), nullable=False),  # e.g. bad_utf8, empty_source, too_long
        pa.field("excerpt", pa.string(), nullable=False),  # first 200 characters of both sides, escaped
    ]
)

# In the labeling graph a shard is one row, because Ray Data splits and merges blocks but never rows.
ENVELOPE = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("input_hash", pa.string(), nullable=False),
        pa.field("sent", pa.float64(), nullable=False),  # Unix time at which the last stage sent it
        pa.field("payload", pa.large_binary(), nullable=False),  # Arrow IPC stream of the shard's table
    ]
)
