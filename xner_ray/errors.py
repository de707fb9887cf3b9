"""Errors that a user can act on.

Whatever is wrong in user input ends in one of these, and the command line prints it without a traceback: what is wrong,
where (file, line, key), and what to do about it.
"""

from __future__ import annotations


class UserError(Exception):
    """Something in the user's input, config or environment is wrong.

    Args:
        problem: what is wrong, in one sentence.
        file: the file (or URL) it is in.
        line: the 1-based line.
        key: the config key, column or tag.
        remedy: what to do about it, in one sentence.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        line: int | None = None,
        key: str | None = None,
        remedy: str | None = None,
    ):
        self.problem, self.file, self.line, self.key, self.remedy = problem, file, line, key, remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        where = []
        if self.file is not None:
            where.append(f"{self.file}:{self.line}" if self.line is not None else str(self.file))
        elif self.line is not None:
            where.append(f"line {self.line}")
        if self.key is not None:
            where.append(f"key '{self.key}'")
        head = f"{', '.join(where)}: {self.problem}" if where else self.problem
        return f"{head}\n  remedy: {self.remedy}" if self.remedy else head

    def __reduce__(self):
        # Ray pickles exceptions; keyword-only arguments need a hand.
        return (_rebuild, (self.problem, self.file, self.line, self.key, self.remedy))


def _rebuild(problem, file, line, key, remedy) -> UserError:
    return UserError(problem, file=file, line=line, key=key, remedy=remedy)
