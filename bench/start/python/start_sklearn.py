"""What a worker that learns imports: numpy and scikit-learn."""

import numpy as np
import sklearn.ensemble
import sklearn.linear_model
import sklearn.svm  # noqa: F401  what a model server has at hand

from snakepit import tool


@tool
def total(n: int) -> int:
    """Sum an array, so that numpy is really at work."""
    return int(np.arange(n).sum())
