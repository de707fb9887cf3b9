"""A lock with a heartbeat, in any store that can create a file only if it is absent.

    lock/000007.json   the holder: what it is, its process, and since when. Creating this file takes the lock.
    lock/000007.beat   the heartbeat, rewritten while the holder lives
    lock/000007.done   the holder released the lock

Holders have increasing numbers. A process that finds the last number unreleased polls its heartbeat. A changing heartbeat
means that the holder lives: the process stops with an error, or waits. Without a change for `timeout_s` the holder is dead,
and the next number may be taken. So clocks are not compared, and hosts may disagree about the time. The price is that after a
crash the next process waits for `timeout_s`, unless the dead holder ran on the same host: then its process id is enough.

A holder that was suspended, or whose store did not answer, may lose the lock while it lives. It learns this from `check`, or
is interrupted by its heartbeat thread. Until then two holders may work at the same time, so writers must not rely on the lock
alone: shards and generations have one winner each, and stage files appear whole.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from xner_ray.errors import UserError
from xner_ray.storage.atomic import random_id
from xner_ray.storage.blob_store import BlobStore
from xner_ray.storage.local_disk import LocalDisk
from xner_ray.storage.processes import ProcessIdentity

TIMEOUT_S = 60.0
HEARTBEATS = 4  # in a timeout, so that a lost heartbeat is no death
RUN_HEARTBEAT_S = 2.0  # a second run on one directory learns this soon that the first one lives
_HOLDER = re.compile(r"(?:.*/)?(\d{6})\.json")


@dataclass(frozen=True)
class Holder:
    """A holder of a lock.

    Attributes:
        name: what it is, e.g. `run`.
        process: its process.
        began: when it took the lock, ISO 8601 with time zone.
        token: random, different for each holder.
    """

    name: str
    process: ProcessIdentity
    began: str
    token: str

    @classmethod
    def current(cls, name: str) -> Holder:
        """This process, from now on."""
        return cls(name, ProcessIdentity.current(), datetime.now(UTC).isoformat(timespec="seconds"), random_id())

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Holder:
        values = json.loads(data)
        return cls(**{**values, "process": ProcessIdentity(**values["process"])})

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host}, since {self.began}"


class Lock:
    """A context manager that holds the lock of a store.

    Args:
        store: where the files of the lock are.
        timeout_s: a holder without a heartbeat for so many seconds is dead.
        name: what this holder is, for messages: `run`, `refresh`.
        wait: wait for a living holder instead of an error.
        log: called with a line when another holder is waited for.
        heartbeat_s: seconds between heartbeats; default: a quarter of the timeout.
        remedy: what a user can do if another holder lives.
        after: the number of this holder is larger, also where the files of earlier holders are gone.
        interrupt: interrupt the main thread when another process took the lock, so that the block ends with the error of
            `check`.

    Attributes:
        number: of this holder; larger than those of all holders before.

    Raises:
        UserError: on entering, if another holder lives; on leaving, if the block was interrupted.
    """

    def __init__(
        self,
        store: BlobStore,
        timeout_s: float = TIMEOUT_S,
        *,
        name: str = "run",
        wait: bool = False,
        log: Callable[[str], None] = lambda line: None,
        heartbeat_s: float | None = None,
        remedy: str = "wait until it has ended",
        after: int = 0,
        interrupt: bool = False,
    ):
        self.store, self.timeout_s, self.name, self.wait, self.log = store, timeout_s, name, wait, log
        self.heartbeat_s = timeout_s / HEARTBEATS if heartbeat_s is None else heartbeat_s
        self.remedy, self.after, self.interrupt = remedy, after, interrupt
        self.number = 0
        self._holder = Holder.current(name)
        self._released = threading.Event()
        self._interrupted = self._restore_sigint = False
        self._last_heartbeat = 0.0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lock:
        while not self._take():
            pass
        if self.interrupt and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # e.g. started with `&` by a script
            signal.signal(signal.SIGINT, self._on_ignored_sigint)
            self._restore_sigint = True
        self._write_heartbeat(0)
        self._thread = threading.Thread(target=self._keep_alive, name=f"lock {self.number}", daemon=True)
        self._thread.start()
        for number in self._numbers():
            if number < self.number:
                for suffix in ("json", "beat", "done"):
                    self.store.delete(_file(number, suffix))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._released.set()
            if self._thread:
                self._thread.join(self.timeout_s)
            if self._holds_number():
                self.store.create_if_absent(_file(self.number, "done"), b"", "lock")
        except KeyboardInterrupt:  # the heartbeat thread sent it just now
            if not self._interrupted:
                raise
        finally:
            if self._restore_sigint:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._interrupted and (error is None or isinstance(error, KeyboardInterrupt)):
            raise self._lost() from None

    def check(self) -> None:
        """Call this before a step that must not run twice at the same time. Raises: UserError if the lock is lost."""
        if time.monotonic() - self._last_heartbeat > self.timeout_s or self._is_replaced():
            raise self._lost()

    def _on_ignored_sigint(self, number: int, frame: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt

    def _lost(self) -> UserError:
        problem = f"{self.name} {self.number} lost its lock while it was suspended: another one may be running"
        return UserError(problem, file=self.store.path("lock"), remedy="run the same command when that one has ended")

    def _take(self) -> bool:
        """Take the next number; False if another process was faster."""
        last = max(self._numbers(), default=0)
        if last and not self._outlives(last):
            return False
        self.number, self._holder = max(last, self.after) + 1, Holder.current(self.name)
        data = self._holder.to_json()
        self.store.create_if_absent(_file(self.number, "json"), data, "lock")
        # The file is read again for two reasons. If the reply was lost, the store says only that the file exists. And holders
        # delete lower numbers, so a process that was suspended before its write may have taken a number for the second time.
        return self.store.read(_file(self.number, "json")) == data and max(self._numbers(), default=0) == self.number

    def _outlives(self, number: int) -> bool:
        """Wait until a holder is done or dead; False if it is no longer the last one.

        Raises: UserError if it lives and this lock does not wait.
        """
        data = self.store.read(_file(number, "json"))
        if data is None:
            return False
        try:
            holder, logged = Holder.from_json(data), False
        except (ValueError, KeyError, TypeError) as e:
            file = self.store.path(_file(number, "json"))
            raise UserError("is damaged", file=file, remedy=f"if no {self.name} is running, delete this file") from e
        heartbeat, since = self._heartbeat(number), time.monotonic()
        while not self.store.exists(_file(number, "done")):
            if holder.process.is_certainly_dead():
                self.log(f"[lock] {holder.name} {number} died without releasing the lock ({holder})")
                return True
            latest = self._heartbeat(number)
            if latest != heartbeat:
                if not self.wait:
                    problem = f"another {holder.name} is running: {holder}"
                    raise UserError(problem, file=self.store.path("lock"), remedy=self.remedy)
                heartbeat, since = latest, time.monotonic()
            elif time.monotonic() - since >= self.timeout_s:
                return True
            if not logged:
                self.log(
                    f"[lock] waiting for {holder.name} {number} ({holder}); without a heartbeat for {self.timeout_s:g} s"
                    " it counts as dead"
                )
                logged = True
            time.sleep(self.heartbeat_s / 4)
            if max(self._numbers(), default=0) != number:
                return False
        return True

    def _heartbeat(self, number: int) -> bytes | None:
        return self.store.read(_file(number, "beat"))

    def _keep_alive(self) -> None:
        count = 0
        while not self._released.wait(self.heartbeat_s):
            count += 1
            self._write_heartbeat(count)
            if self.interrupt and self._is_replaced_safely():
                self._interrupted = True
                # A signal also ends a blocking system call of the main thread.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return

    def _write_heartbeat(self, count: int) -> None:
        """If the store does not answer, the heartbeat stays old, and `check` sees that."""
        began = time.monotonic()
        try:
            self.store.write(_file(self.number, "beat"), f"{self._holder.token} {count}".encode(), "beat")
        except Exception as e:  # whatever a client raises; the thread has to try again
            self.log(f"[lock] the store did not take a heartbeat: {e}")
            return
        self._last_heartbeat = began

    def _is_replaced(self) -> bool:
        return max(self._numbers(), default=0) > self.number or not self._holds_number()

    def _holds_number(self) -> bool:
        """Whether the file of this number is that of this holder: a store may let two of them create it, or a user delete it."""
        return self.store.read(_file(self.number, "json")) == self._holder.to_json()

    def _is_replaced_safely(self) -> bool:
        with contextlib.suppress(Exception):
            return self._is_replaced()
        return False

    def _numbers(self) -> list[int]:
        matches = (_HOLDER.fullmatch(name) for name in self.store.list("lock"))
        return sorted(int(match[1]) for match in matches if match)


@contextlib.contextmanager
def hold_output(
    out: str | Path, log: Callable[[str], None], wait: bool = False, timeout_s: float = TIMEOUT_S, name: str = "run"
) -> Iterator[Lock]:
    """Hold the output directory of a run. If another process takes the lock, the block ends with a UserError.

    Args:
        out: the directory.
        log: called with a line when another run is waited for.
        wait: wait for a living holder instead of an error.
        timeout_s: a holder without a heartbeat for so many seconds is dead.
        name: what this holder is, for messages.

    Raises:
        UserError: another holder lives; names its host, process and start time.
    """
    heartbeat_s = min(RUN_HEARTBEAT_S, timeout_s / HEARTBEATS)
    lock = Lock(
        LocalDisk(Path(out)),
        timeout_s,
        name=name,
        wait=wait,
        log=log,
        heartbeat_s=heartbeat_s,
        remedy="wait until it has ended, or run with --wait",
        interrupt=threading.current_thread() is threading.main_thread(),
    )
    with lock:
        yield lock


def _file(number: int, suffix: str) -> str:
    return f"lock/{number:06d}.{suffix}"
