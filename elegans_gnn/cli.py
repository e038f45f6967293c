"""The command `elegans-gnn`. Nothing heavy is imported before a subcommand needs it: help answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from elegans_gnn._paths import __version__
from elegans_gnn.commands import connectome, evaluate, models, predict, study, train
from elegans_gnn.commands._table import one_line_error
from elegans_gnn.errors import (
    ConnectomeFormatError,
    DataUnavailableError,
    FolderError,
    InvalidArgumentError,
    MissingExtraError,
)

# Anything else is a defect of ours and shows its traceback.
USER_ERRORS = (InvalidArgumentError, ConnectomeFormatError, DataUnavailableError, FolderError, MissingExtraError)
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Options are spelt out (`--out` is not short for `--outputs`), and a wrong one costs one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if rest and self._subparsers is None:  # refused here, the error names the command and knows its options
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        one_line_error(self, message)


def build_parser() -> argparse.ArgumentParser:
    """All subcommands and their options."""
    parser: argparse.ArgumentParser = _Parser(
        prog="elegans-gnn",
        description="Networks wired like the nervous system of C. elegans: look at connectomes, train models.",
    )
    parser.add_argument("--version", action="version", version=f"elegans-gnn {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train.add_parser(subparsers)
    evaluate.add_parser(subparsers)
    predict.add_parser(subparsers)
    models.add_parser(subparsers)
    connectome.add_parser(subparsers)
    study.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if it went well, 2 after a mistake of the user's (one line on stderr says which), 130 after Ctrl-C.
    """
    options = build_parser().parse_args(arguments)
    # Large tensors on huge pages save page faults; torch reads this when it is imported.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        return int(options.run(options))
    except USER_ERRORS as error:
        print(f"elegans-gnn: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
