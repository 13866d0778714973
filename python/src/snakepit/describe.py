"""Prints the contract of an adapter: `python -m snakepit.describe --adapter MODULE [--path DIR …]`.

One JSON document on stdout:

    {"adapter", "tools": [{"name", "description", "streams", "arguments", "result", "facts",
                           "contract": {"argument model": the hash of it that its workers announce}}],
     "$defs": {name: schema}, "problems": ["tool 'fit', parameter 'model': … cannot arrive as MessagePack"]}

Schemas are JSON Schema of what crosses the wire, see `snakepit._schema`. What the adapter prints goes to stderr. Exits:
64 wrong arguments, 78 the adapter cannot be imported, 70 its tools cannot be served; the document of the latter two is
{"status": "failed", "stage": "import" | "catalogue", "exception": {"type", "message", "traceback"}}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from snakepit._arguments import Arguments
from snakepit._catalogue import Catalogue
from snakepit._contract import Contract
from snakepit._life import EX_CONFIG, EX_SOFTWARE
from snakepit._status import Status


def main(argv: list[str] | None = None) -> int:
    """Describes one adapter; returns the exit code."""
    arguments = Arguments("describe", "Prints the contract of one adapter module.").parse_args(argv)
    sys.stdout.flush()
    answer = os.dup(1)
    os.dup2(2, 1)
    status = Status(answer)
    with status.stage("import", EX_CONFIG):
        sys.path[:0] = arguments.path
        module = importlib.import_module(arguments.adapter)
    with status.stage("catalogue", EX_SOFTWARE):
        contract = Contract(Catalogue.of(module).tools, descriptions=True)
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(
            {
                "adapter": arguments.adapter,
                "tools": contract.tools,
                "$defs": contract.definitions,
                "problems": contract.problems,
            },
            out,
        )
        out.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
