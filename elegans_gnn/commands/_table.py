"""What the commands print: a table for people, JSON for programs, one line after a wrong option."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn

_PIPE_WIDTH = 160


def print_json(value: Any) -> None:
    """Plain values as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Collection[int] = (),
    whole: Collection[int] = (0,),
) -> None:
    """A table under its title.

    Args:
        title: printed above the table.
        headings: of the columns.
        rows: one text per column.
        numbers: columns that are aligned to the right.
        whole: columns whose text is never folded.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # In a pipe or a file Rich would fold lines at 80 columns.
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if column in numbers else "left", no_wrap=column in whole)
    for row in rows:
        # As Text, so that Rich does not read the brackets of a neuron's name as markup.
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def one_line_error(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End after a wrong option with one line: the mistake, and the nearest option or where to look."""
    unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
    known = [option for action in parser._actions for option in action.option_strings]
    nearest = difflib.get_close_matches(unknown[1], known, n=1) if unknown else []
    remedy = f"did you mean {nearest[0]}?" if nearest else f"see {parser.prog} --help"
    parser.exit(2, f"{parser.prog}: {message}; {remedy}\n")
