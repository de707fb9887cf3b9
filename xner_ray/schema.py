"""The row that grows: one Arrow schema for the whole house.

Each stage adds columns and takes none away. Offsets are characters (code points) of the string they point into, half open.

    pair     corpus, domain, language, pair_id, source, target, corpus_score
    label    entities      list<start, end, type, score>          in source
    align    projections   list<entity, start, end, score>        in target; every candidate is kept
             fault                                                why labeling or aligning this row is impossible
    rules    verdict, spans                                       first rule that applies; labeled spans of target
    export   tokens, ner_tags                                     BIO2
"""

from __future__ import annotations

import pyarrow as pa

PAIR = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),  # of the target side, ISO 639-1
        pa.field(
            "pair_id", pa.int64(), nullable=False
        ),  # unique within (corpus, language): the line or id in the corpus
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

# `entity` is the index, in the row's `entities`, of the FIRST entity with this (name, type): equal entities are one query.
PROJECTION = pa.struct(
    [
        pa.field("entity", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        # The votes of both projectors: null where one found nothing here, or was not asked. Both null: spelled alike.
        pa.field("aligner", pa.float32()),  # mean probability of the words that it found
        pa.field("similarity", pa.float32()),  # cosine
    ]
)
PROJECTIONS = pa.field("projections", pa.list_(PROJECTION), nullable=False)
FAULT = pa.field("fault", pa.string())  # null, or `stage: why` of a row that cannot be run; its lists are empty then
ALIGNED = LABELED.append(PROJECTIONS).append(FAULT)

# Pieces and words of both sides, cut on CPUs before a shard meets a GPU; they travel with it and are not kept.
PRETOKEN = pa.struct(
    [
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("id", pa.int32(), nullable=False),  # of a piece; a word has none and says 0
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
    ]
)
PRETOKENIZED = pa.field("pretokenized", pa.list_(PRETOKEN), nullable=False)

# Verdicts of rows. `projection/filters.py` defines them.
KEPT, KEPT_NO_ENTITY = "kept", "kept_no_entity"
CONTAMINATION = "contamination"  # the target is a sentence that students are measured on
UNMAPPED, MENTION_MISMATCH, OVERLAP, LOW_SCORE = "unmapped", "mention_mismatch", "overlap", "low_score"
DROPPED = (CONTAMINATION, UNMAPPED, MENTION_MISMATCH, OVERLAP, LOW_SCORE)
QUARANTINED = "quarantined"
CLEANED = ("identical_sides", "length_ratio", "language")  # dropped by filters of ingest, as are duplicates
DUPLICATE = "duplicate"  # dropped by ingest, so no row of a shard has it; the ledger counts it among the dropped
VERDICTS = (KEPT, KEPT_NO_ENTITY, QUARANTINED, *DROPPED)

SPANS = pa.field("spans", pa.list_(ENTITY), nullable=False)  # the entities of the target, empty unless kept
JUDGED = ALIGNED.append(pa.field("verdict", pa.string(), nullable=False)).append(SPANS)
EXPORTED = JUDGED.append(pa.field("tokens", pa.list_(pa.string()), nullable=False)).append(
    pa.field("ner_tags", pa.list_(pa.string()), nullable=False)
)

# A row that could not be read or run: where it came from, why, and enough of it to find it again.
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

# A shard on its way through the labeling graph is ONE row, because Ray Data splits and merges blocks but never a row.
ENVELOPE = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("input_hash", pa.string(), nullable=False),
        pa.field("sent", pa.float64(), nullable=False),  # Unix time at which the last stage let go of it
        pa.field("payload", pa.large_binary(), nullable=False),  # Arrow IPC stream of the shard's table
    ]
)
