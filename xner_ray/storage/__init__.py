"""The store: finished work stays finished, exactly once, whatever process or machine dies. This page describes the whole commit.

*Shards.* A shard is a few thousand rows in one Parquet file. It is the unit of work and of commit (`shard_store.py`).

    root/de-000012.4f1c9a7e0b2d6835.parquet     data: <shard>.<attempt>.parquet, written by any process that tries
    root/manifest/de-000012.json                the commit: file name, sha256, rows, input hash and attempt id

1. A writer draws a random attempt id and writes its data file: temporary name, fsync, rename, fsync of the folder. No other
   writer uses this name. So any number of attempts can exist side by side, and none of them is visible to readers yet.
2. It writes the manifest to a temporary file, syncs it, and links it to `manifest/<shard>.json`. The link succeeds only if no
   file has that name. This link is the ONLY commit. The data is on the disk before it, so a power cut cannot tear a shard.
3. If the name is taken, the writer reads the manifest. If it holds this writer's attempt id, its commit succeeded and only the
   reply was lost. Otherwise the writer deletes its data and returns the winner's manifest. So all writers of a shard return
   the same manifest, and workers of a dead driver may go on without harm.
4. Readers see only files that manifests name: use `ShardStore.files`, never a pattern over data files.
5. A killed attempt leaves a file that no manifest names. `ShardStore.sweep` deletes it after a grace time, within which a slow
   writer may still commit. A writer that was suspended for longer finds its file gone after its commit, and writes it again
   from memory.

A reader compares the hash of a file with its manifest (`verify.py`). If it differs, the reader writes the note
`damaged/<shard>` and stops with an error, and the next run makes this shard again. A manifest has a checksum of its own.

A manifest is never rewritten. It holds the hash of the shard's input, so a changed input under an old name is an error. The
same table gives the same bytes (fixed writer settings, one chunk, no timestamps). Only the attempt id differs, and with it the
file name.

*Packs.* A store of 250,000 shards has as many manifests. `manifest_packs.py` copies their content to a few files, and
`manifest_table.py` lists a store with them: it asks for the names and stamps (size and time, or ETag) of all manifests, takes
those that have the packed stamp from the packs, and reads the others. So packs commit nothing, and may be deleted.

*Object stores.* A PUT is atomic there, so there are no temporary files and no fsync. Step 1 is a PUT. Step 2 is a PUT with
If-None-Match, which the store refuses if the name is taken. If the reply to it is lost, the writer sends it again, and step 3
shows whether the first one succeeded. A store without this condition is refused before work starts (`ShardStore.probe`).

*Where bytes are written.* `atomic.py` is the only module that writes a temporary file or folder and renames it.
`blob_store.py` is the interface over `local_disk.py` and `object_store.py` (S3, GCS, Azure). Each step of a write is a named
failpoint (`failpoints.py`), at which a test kills or stops the process. A commit on a disk has 12: opened, half, written,
synced, named and durable, for the data and for the manifest. In an object store it has 4: opened and named.

*Envelopes.* Ray Data splits and merges blocks but never a row, so a shard travels as one row (`envelope.py`).

*Fingerprints.* A store holds the results of one fingerprint of config, weights and stage versions (`fingerprint.py`). Results
of another one are written to another folder (`stage_dir.py`).

*Locks.* Several processes may commit to one store at once without a lock. `lock.py` is for work that must not run twice at the
same time: the refresh, and a whole run on one output directory.
"""
