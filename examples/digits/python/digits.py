"""Model search over scikit-learn's handwritten digits: 1,797 real scans of 8 × 8 pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TypedDict

from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from snakepit import tool

Params = dict[str, str | int | float]

SEED = 20_261_124  # any number, the same in every worker: a fit that is tried again gives the same scores

images, labels = load_digits(return_X_y=True)


class Dataset(TypedDict):
    """How large the data is."""

    scans: int
    classes: int


def build(model: str, params: Params) -> ClassifierMixin:
    """Make an untrained classifier."""
    match model:
        case "svc":
            return SVC(**params)
        case "knn":
            return KNeighborsClassifier(**params)
        case "logistic":
            return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, **params))
        case "forest":
            return RandomForestClassifier(random_state=SEED, **params)
        case "extra_trees":
            return ExtraTreesClassifier(random_state=SEED, **params)
        case _:
            message = f"unknown model {model!r}"
            raise ValueError(message)


@tool(idempotent=True)
def dataset() -> Dataset:
    """Say how large the data is."""
    return {"scans": len(images), "classes": len(set(labels))}


@tool(idempotent=True, deterministic=True)
def fit(model: str, params: Params, folds: int) -> Iterator[float]:
    """Cross-validate one classifier, yielding the accuracy of each fold as it is known.

    It is seeded, so a fit whose worker dies goes on where it was on another one.
    """
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=SEED)
    for train, test in splitter.split(images, labels):
        classifier = build(model, params)
        classifier.fit(images[train], labels[train])
        yield float(classifier.score(images[test], labels[test]))


@tool
def record(journal: str, fit: int, accuracy: float) -> None:
    """Append one result to the journal. Running it twice would write it twice: it is not idempotent."""
    line = json.dumps({"fit": fit, "accuracy": accuracy, "pid": os.getpid()}) + "\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
