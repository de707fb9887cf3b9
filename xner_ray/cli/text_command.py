"""A command whose arguments are texts: a text may begin with a dash, as lines of subtitles do (`- Anna?`)."""

from __future__ import annotations

import difflib
from typing import Any

import typer.core

from xner_ray.errors import UserError


class TextCommand(typer.core.TyperCommand):
    """An argument with white space that begins with a dash is a text, and no option.

    A single word with a dash (`-Anna`) may be a misspelled option, so it needs `--` before it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value = {
            name: not getattr(param, "is_flag", False)
            for param in self.get_params(ctx)
            if param.param_type_name == "option"
            for name in (*param.opts, *param.secondary_opts)
        }
        options, texts = split_arguments(args, takes_value)
        return super().parse_args(ctx, [*options, "--", *texts])


def split_arguments(args: list[str], takes_value: dict[str, bool]) -> tuple[list[str], list[str]]:
    """The options with their values, and the texts in their order.

    Args:
        args: of the command line.
        takes_value: by name of an option, whether the next argument is its value.

    Raises:
        UserError: a word begins with a dash and is no option.
    """
    options: list[str] = []
    texts: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        name, is_assigned, _ = arg.partition("=")
        if arg == "--":
            return options, texts + rest
        if arg in takes_value:
            options += [arg, *rest[:1]] if takes_value[arg] else [arg]
            rest = rest[1:] if takes_value[arg] else rest
        elif is_assigned and name.startswith("--") and name in takes_value:
            options.append(arg)
        elif arg.startswith("-") and arg != "-" and not any(map(str.isspace, arg)):
            near = difflib.get_close_matches(name, takes_value, 1)
            remedy = "write -- before a text that begins with a dash"
            raise UserError(
                f"no such option: {arg}", remedy=f"did you mean {near[0]}? Otherwise {remedy}" if near else remedy
            )
        else:
            texts.append(arg)
    return options, texts
