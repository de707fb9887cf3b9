"""The command line of `bench.gpu_session`."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import bench.gpu_session
from bench.rounds import write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=bench.gpu_session.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="write the pack")
    pack.add_argument("--text", type=Path, help="folder of TSV files: id, source, target; default: xner sample")
    pack.add_argument("--language", default="de")
    pack.add_argument("--encoder", default="embedded")
    pack.add_argument("--pairs", type=int, default=20_000)
    pack.add_argument("--out", type=Path, required=True)
    run = commands.add_parser("run", help="measure")
    run.add_argument("--pack", type=Path, required=True, help="folder of the command pack")
    run.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    run.add_argument("--pairs", type=int, default=6000)
    run.add_argument("--rounds", type=int, default=2)
    run.add_argument("--parts", help="comma between; default: all")
    run.add_argument("--small", action="store_true", help="tiny shapes and few pairs, for a test")
    run.add_argument("--json", type=Path)
    run.add_argument("--table", type=Path, help="write the table as Markdown")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if args.command == "pack":
        from bench.gpu_session.pack import write_pack

        count = write_pack(args.out, args.encoder, args.text, args.language, args.pairs)
        print(f"{count:,} pairs in {args.out}")
        return
    results = measure(args)
    print(results.pop("table"), end="")
    write_json(args.json, results)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the parts; returns the JSON, and the table as `table`."""
    # Imported before the parts are forked, so that they start at once. Nothing here may use the device.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # torch.cuda.is_available() then leaves the device alone
    import transformers.models.bert.modeling_bert
    import transformers.models.xlm_roberta.modeling_xlm_roberta
    import transformers.pipelines  # noqa: F401
    from pyarrow import parquet as pq

    from bench.gpu_session.attention import attention
    from bench.gpu_session.engine import engine, machine, matmul, precision
    from bench.gpu_session.labeling import labeling, pipeline
    from bench.gpu_session.pack import unpack_encoder
    from bench.gpu_session.parts import Part, Session, run_parts
    from bench.gpu_session.table import add_matmul_shares, tables
    from bench.gpu_session.training import resume, training

    parts = [
        Part("machine", machine, 20),
        Part("matmul", matmul, 20),
        Part("engine", engine, 100),
        Part("labeling", labeling, 90),
        Part("attention", attention, 90),
        Part("precision", precision, 50),
        Part("pipeline", pipeline, 50),
        Part("training", training, 60),
        Part("resume", resume, 30),
    ]
    if args.parts:
        parts = [part for part in parts if part.name in ("machine", "matmul", *args.parts.split(","))]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        encoder = unpack_encoder(args.pack, work / "encoder")
        pairs = min(40 if args.small else args.pairs, pq.read_metadata(args.pack / "pairs.parquet").num_rows)
        session = Session(encoder, args.pack, work, args.device, pairs, 1 if args.small else args.rounds, args.small)
        results: dict[str, Any] = {"pairs": pairs, "small": args.small, "parts": run_parts(parts, session)}
    results["seconds"] = round(time.monotonic() - began, 1)
    add_matmul_shares(results["parts"])
    results["table"] = tables(results)
    if args.table:
        args.table.write_text(results["table"], encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
