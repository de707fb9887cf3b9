"""The store: how work that is done stays done, once, whatever dies. The whole commit story is on this page.

*Shards.* A shard is a few thousand rows in one Parquet file, the unit of work and of commit (`shards.py`).

    root/de-000012.4f1c9a7e0b2d6835.parquet     data: <shard>.<attempt>.parquet, written freely by whoever tries
    root/manifest/de-000012.json                the commit: names file, sha256, rows, input hash and attempt

1. A writer draws a random attempt id and writes its data file: temp name, fsync, rename, fsync of the folder. Nobody
   else uses that name, so any number of attempts can lie side by side, and none is visible yet.
2. It writes the manifest to a temp file, fsyncs it and links it to `manifest/<shard>.json`, which succeeds only where
   nothing has that name. That link is the ONLY commit. The data is on the disk before it, so power loss tears nothing.
3. Who comes second reads the manifest back. Its own attempt id: the reply got lost, it did commit. Another's: it
   deletes its data and returns the winner's manifest. So all get one answer, and zombies of a dead driver may go on.
4. Readers see only what manifests name: `ShardStore.files` is the way in, a pattern over data files never is.
5. What no manifest names is left by a killed attempt. `ShardStore.sweep` deletes it after a grace time, in which a
   slow writer may still commit. A writer that slept longer, lost its file and then commits puts it back from memory.

A manifest is never rewritten. It holds its input's hash: a changed input under an old name is an error. The same table
gives the same bytes (fixed writer settings, one chunk, no timestamps); only the attempt id, and so the name, differs.

*Object stores.* There a PUT lands whole or not at all, so no temp file and no fsync: step 1 is a PUT, step 2 a PUT with
If-None-Match, which the store refuses where the name is taken. A conditional PUT whose reply got lost is sent again, and
step 3 tells whether the first had landed. A store that cannot do this is refused before work starts (`ShardStore.probe`).

*Places.* Only `place.py` (local) and `bucket.py` (S3 and its like) write and delete. Each step of a write is a named
failpoint, where a test kills or stops the process that gets there: 12 on a disk (data and manifest: opened, half, written,
synced, named, durable), of which an object store has 4 (opened, named).
*Envelopes.* Through Ray Data a shard travels as one row (`envelope.py`): Ray splits and merges blocks but never a row.
*Folders.* A store holds what one fingerprint of config, weights and stage versions made (`xner_ray/results`); another
writes elsewhere. Rows that cannot be run stay in their shard, with the reason beside them (`xner_ray/labeling/isolation`).
"""
