"""Command lines of the programs of this package."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

EX_USAGE = 64


class Arguments(argparse.ArgumentParser):
    """Knows which adapter to load; ends with 64, as sysexits has it, instead of argparse's 2."""

    def __init__(self, program: str, description: str) -> None:
        super().__init__(prog=f"python -m snakepit.{program}", description=description)
        self._program = program
        self.add_argument("--adapter", required=True, metavar="MODULE", help="module whose tools are served")
        self.add_argument("--path", action="append", default=[], metavar="DIR", help="where the adapter may be found")

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"snakepit {self._program}: {message}\n")
