"""A shard function for tests: the text of a row decides whether it raises, kills the process, or fails beside another row."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray.errors import UserError

COLUMN = pa.field("numbers", pa.list_(pa.int64()), nullable=False)


class PoisonFunction:
    """The list of a row repeats its number. Starts and table lengths are appended to the file `log`."""

    def __init__(self, log: str, fail_to_start: str = ""):
        self.log = Path(log)
        with self.log.open("a") as f:
            f.write("start\n")
        if fail_to_start == "user":
            raise UserError("no such model", remedy="name another one")
        if fail_to_start.startswith("CUDA"):
            raise RuntimeError(fail_to_start)
        if fail_to_start == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif fail_to_start:
            os.kill(os.getpid(), getattr(signal, fail_to_start))

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        texts = table.column("source").to_pylist()
        with self.log.open("a") as f:
            f.write(f"{len(texts)}\n")
        if any("config" in t for t in texts):
            raise UserError("the config is wrong")
        if sum("company" in t for t in texts) > 1:
            raise ValueError("two are a crowd")
        for text in texts:
            if "once" in text and self.log.with_suffix(".once").exists():
                self.log.with_suffix(".once").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            if "stopped" in text and self.log.with_suffix(".stopped").exists():
                self.log.with_suffix(".stopped").unlink()
                os.kill(os.getpid(), signal.SIGSTOP)
            if "hang" in text:
                os.kill(os.getpid(), signal.SIGSTOP)
            if "kill" in text:
                os.kill(os.getpid(), signal.SIGKILL)
            if "segfault" in text:
                os.kill(os.getpid(), signal.SIGSEGV)
            if "exit" in text:
                os._exit(3)
            if "memory" in text:
                raise RuntimeError(f"CUDA error: {text.partition(':')[2]}\nCUDA kernel errors might be reported later")
            if "device" in text:
                raise RuntimeError("CUDA error: device-side assert triggered")
            if "raise" in text:
                raise ValueError(f"cannot read {text}\nsecond line")
        lists = [[n] * (n % 3) for n in table.column("n").to_pylist()]
        return pa.array(lists, COLUMN.type), {"rows": len(texts), "language": language}
