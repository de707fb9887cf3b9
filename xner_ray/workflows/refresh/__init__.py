"""The nightly refresh (`xner refresh`): fetch, label and train what is new, and promote students that lose no F1.

    change_detection.py   new and changed corpora, compared with the catalog and the collections; writes nothing
    cost_estimate.py      the cost of a refresh, from measured speeds
    dry_run.py            `--dry-run`: both of them
    run_refresh.py        the refresh: fetch, ingest, label, filter, train, compare, promote
    compare.py            scores of the new students beside those of the current ones
    silver.py             evaluation sets with projected tags, for languages without gold
    promotion.py          the decisions to train and to promote
    model_registry.py     the promoted students and the pointer to the current ones
    refresh_report.py     the report of a refresh

`storage/lock.py` ensures that one refresh runs at a time. A refresh that fails leaves `current` unchanged. What it fetched,
ingested and labeled is committed, so the next refresh continues there. Nothing is done twice: an archive is identified by its
ETag, a pair by its key in the collection, a shard by its manifest, a model by the fingerprint of its inputs.

    PUBLISH/current.json           the pointer: version, students, scores; replaced atomically
    PUBLISH/current                the same as a symlink, on a file system: `xner tag --model PUBLISH/current/de`
    PUBLISH/rollback.json          the version that a user made current and pinned, where there is one
    PUBLISH/versions/000007.json   the commit of a promotion, with the number of its refresh
    PUBLISH/students/000007/de/    models
    PUBLISH/reports/000007.json    the report of the refresh, and the same as .md
    PUBLISH/state.json             the data and the config of the last training
    PUBLISH/lock/000007.*          see storage/lock.py
    OUT/silver/de.parquet          the silver set; no training in OUT uses its sentences
"""
