"""What a worker that computes imports: numpy, and gRPC with the worker itself."""

import numpy as np

from snakepit import tool


@tool
def total(n: int) -> int:
    """Sum an array, so that numpy is really at work."""
    return int(np.arange(n).sum())
