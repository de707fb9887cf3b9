"""The nightly refresh: what `xner refresh` and `jobs/refresh.py` do. The whole night is on this page.

    looking.py     what the catalog has that the run lacks; nothing is written
    costs.py       what that will cost, by speeds that were measured
    plan.py        both of them: the dry run
    lease.py       one refresh at a time, by a lock that does not outlive its holder for long
    night.py       the night itself: fetch, ingest, label, judge, hold out, train, compare, promote
    silver.py      sentences that only measure, for languages without gold
    promotion.py   the rule that decides
    shelf.py       promoted students, and the pointer to the current ones
    told.py        the report of a night

A night that fails leaves `current` where it was. What it has fetched, ingested and labeled until then is committed as in any
run, so the next night goes on from there. Everything is new only once: an archive by its ETag, a pair by its key in the
collection (`xner_ray/corpora/collection.py`), a shard by its manifest, a model by the fingerprint of what it is made from.

    PUBLISH/current.json           the pointer: version, students, scores; replaced whole
    PUBLISH/current                the same as a symlink, on a file system: `xner tag --model PUBLISH/current/de`
    PUBLISH/versions/000007.json   the commit of a promotion; its number is that of the night
    PUBLISH/students/000007/de/    models
    PUBLISH/nights/000007.json     the report, and .md for people
    PUBLISH/state.json             what the last training saw
    PUBLISH/lock/000007.*          see lease.py
    OUT/silver/de.parquet          the silver set; no training in OUT ever takes a sentence of it
"""
