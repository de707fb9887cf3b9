"""Measures the ingest of a Moses archive, a TSV or a TMX file on one core: speed and peak memory.

    xner sample --out /tmp/sample --pairs 1000000 --languages de
    python -m bench.ingest /tmp/sample/SampleNews/v1/moses/de-en.txt.zip --target de --json OUT

`mb` is the size of both sides in UTF-8. Seconds are processor time, so that other processes do not count. Each case runs in its
own process. The case `again` ingests an archive into a collection that has all of its pairs; in the case `half`, the collection
has every other pair. The JSON is `{case: {mb, cpu_seconds, mb_per_second, pairs, rows, peak_mb}}`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import pyarrow as pa

from xner_ray.config import CorpusConfig, IngestConfig
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.readers.corpus_reader import Source
from xner_ray.corpora.readers.formats import moses_entries

CASES = ("moses", "tsv", "tmx", "half", "again", "language")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", help="a Moses archive")
    parser.add_argument("--source", default="en")
    parser.add_argument("--target", required=True)
    parser.add_argument("--cases", default="moses,tsv,half,again", help=f"of {','.join(CASES)}")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in args.cases.split(","):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                results[case] = pool.apply(measure, (case, args.archive, args.source, args.target, Path(folder)))
            row = results[case]
            print(
                f"{case:9} {row['mb']:8.1f} MB  {row['mb_per_second']:6.1f} MB/s  peak {row['peak_mb']:.0f} MB",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(case: str, archive: str, source: str, target: str, folder: Path) -> dict[str, float]:
    """Ingest the archive once. For `half` and `again`, its pairs are first ingested under another name."""
    pa.set_cpu_count(1)
    root = folder / case
    path, format = Path(archive), "moses"
    if case in ("tsv", "tmx"):
        path, format = folder / f"all.{case}", case
        rewrite(archive, source, target, path)
    rules = IngestConfig(
        max_pairs_per_language=None,
        shard_rows=20_000,
        clean={"min_language_score": 0.1 if case == "language" else None},
    )
    if case in ("half", "again"):
        existing = folder / "held.tsv"
        rewrite(archive, source, target, existing, step=2 if case == "half" else 1)
        Collection(root).add(
            [Source(_corpus("held", "tsv", existing), "held", str(existing), None, (source, target), rules)]
        )
    began = time.process_time()
    report = Collection(root).add([Source(_corpus("c", format, path), "c", str(path), None, (source, target), rules)])
    seconds = time.process_time() - began
    assert report is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shutil.rmtree(root)
    with zipfile.ZipFile(archive) as file:
        names = moses_entries(archive, file.namelist(), source, target)[:2]
        mb = sum(file.getinfo(name).file_size for name in names) / 1e6
    return {
        "mb": round(mb, 1),
        "cpu_seconds": round(seconds, 2),
        "mb_per_second": round(mb / seconds, 1),
        "pairs": report.corpora["c"].read,
        "rows": report.rows,
        "peak_mb": round(peak),
    }


def rewrite(archive: str, source: str, target: str, path: Path, step: int = 1) -> None:
    """Every `step`th pair of a Moses archive as TSV or TMX."""
    row = b"%d\t%b\t%b\n"
    if path.suffix == ".tmx":
        sides = (b'<tuv xml:lang="%b"><seg>' % code.encode() + b"%b</seg></tuv>" for code in (source, target))
        row = b'<tu tuid="%d">' + b"".join(sides) + b"</tu>\n"
    with zipfile.ZipFile(archive) as file, path.open("wb") as out:
        names = moses_entries(archive, file.namelist(), source, target)[:2]
        out.write(b"<tmx><body>" if path.suffix == ".tmx" else b"")
        with file.open(names[0]) as a, file.open(names[1]) as b:
            for n, pair in enumerate(zip(a, b, strict=True)):
                if n % step == 0:
                    clean = [x.strip().replace(b"&", b"&amp;").replace(b"<", b"&lt;") for x in pair]
                    out.write(row % (n, *(clean if path.suffix == ".tmx" else (x.strip() for x in pair))))
        out.write(b"</body></tmx>" if path.suffix == ".tmx" else b"")


def _corpus(name: str, format: str, path: Path) -> CorpusConfig:
    return CorpusConfig.model_validate({"name": name, "format": format, "path": str(path)})


if __name__ == "__main__":
    main()
