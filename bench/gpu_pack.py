"""Writes the input of `gpu.py`: a tokenizer and labeled sentence pairs, a few MB.

    python -m bench.gpu_pack --text DIR --language de --out build/gpu-pack

Source sentences have 20 to 40 tokens. The null model labels the entities, 1.7 per pair.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from bench.inputs import read_text
from bench.rounds import pin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="folder of TSV files; default: xner sample")
    parser.add_argument("--language", default="de")
    parser.add_argument("--encoder", default="embedded", help="encoder with the tokenizer")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    pin(None)
    print(f"{pack(args.out, args.encoder, args.text, args.language, args.pairs):,} pairs in {args.out}")


def pack(out: Path, encoder: str, text: Path | None, language: str, max_pairs: int) -> int:
    """Write tokenizer.json, pairs.parquet and pack.json; returns the number of pairs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xner_ray.encoders.load import encoder_folder, save_tokenizer
    from xner_ray.encoders.vocab_trimming import trimmed_folder
    from xner_ray.ner.label_table import label_table
    from xner_ray.ner.tagger import Tagger

    out.mkdir(parents=True, exist_ok=True)
    folder = trimmed_folder(encoder_folder(encoder), ["en", language], out / "cache")
    save_tokenizer(folder, out)
    config = json.loads((folder / "config.json").read_text())
    (out / "pack.json").write_text(json.dumps({"vocabulary": config["vocab_size"], "language": language}))
    shutil.rmtree(out / "cache", ignore_errors=True)
    pairs = read_text(text, language, 10 * max_pairs, out / "sample").pairs
    shutil.rmtree(out / "sample", ignore_errors=True)
    tagger = Tagger.load_null(out)
    lengths = tagger.tokenizer([s for s, _ in pairs]).ids.lengths
    chosen = np.flatnonzero((lengths >= 20) & (lengths <= 40))[:max_pairs].tolist()
    table = pa.table({"source": [pairs[i][0] for i in chosen], "target": [pairs[i][1] for i in chosen]})
    pq.write_table(label_table(tagger, table, "en"), out / "pairs.parquet")
    return len(chosen)


if __name__ == "__main__":
    main()
