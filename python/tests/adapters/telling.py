"""Tools that tell of themselves."""

import logging
import sys
import warnings

from snakepit import telemetry, tool

logger = logging.getLogger("telling")


@tool
def emit(name: str, times: int = 1) -> None:
    for time in range(times):
        telemetry.emit(name, {"time": time})


@tool
def say(text: str) -> None:
    print(text)
    print(text.upper(), file=sys.stderr)
    logger.warning("about %s", text)
    logger.info("more about %s", text)
    warnings.warn(text, stacklevel=1)
