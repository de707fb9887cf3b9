"""Errors that a user can repair.

Every problem of user input ends in a UserError. The command line prints it without a traceback: what is wrong, where (file,
line, key), and what to do about it.
"""

from __future__ import annotations


class UserError(Exception):
    """A problem of the user's input, config or environment.

    Args:
        problem: what is wrong, in one sentence.
        file: the file or URL.
        line: the line, from 1.
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
        parts = []
        if self.file is not None:
            file = str(self.file).replace("\n", "\\n")  # a file name must not add a line, such as a remedy
            parts.append(f"{file}:{self.line}" if self.line is not None else file)
        elif self.line is not None:
            parts.append(f"line {self.line}")
        if self.key is not None:
            parts.append(f"key '{self.key}'")
        head = f"{', '.join(parts)}: {self.problem}" if parts else self.problem
        return f"{head}\n  remedy: {self.remedy}" if self.remedy else head

    def __reduce__(self):
        # Ray pickles exceptions, and pickle cannot pass keyword-only arguments.
        return (_rebuild, (self.problem, self.file, self.line, self.key, self.remedy))


def _rebuild(problem, file, line, key, remedy) -> UserError:
    return UserError(problem, file=file, line=line, key=key, remedy=remedy)
