"""numpy arrays on their way: what comes back is what went, and what cannot go says why."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakepit import InvalidArguments, _ndarray, tool
from snakepit._pieces import SHARED_BYTES, Pieces, whole
from worker_host import ROOT

DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
    *("datetime64[ns]", "datetime64[25s]", "timedelta64[ms]", "datetime64"),
]


@tool
def echo(value: Any) -> Any:
    return value


def encode(value: object) -> bytes:
    return whole(echo.payload.encode(value))


def there_and_back(value: object) -> Any:
    return echo.payload.arguments(encode({"value": value}))["value"]


@st.composite
def arrays(draw: st.DrawFn) -> npt.NDArray[Any]:
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    count = int(np.prod(shape, dtype=int))
    data = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    array = np.frombuffer(bytes(byte & 1 for byte in data) if dtype.kind == "b" else data, dtype).reshape(shape)
    if draw(st.booleans()):
        array = array.astype(dtype.newbyteorder(">"))
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    return array[::2] if array.ndim and draw(st.booleans()) else array


def same(got: npt.NDArray[Any], array: npt.NDArray[Any]) -> bool:
    plain = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    return (got.dtype, got.shape, got.tobytes()) == (plain.dtype, array.shape, plain.tobytes())


@given(arrays(), st.binary(max_size=9))
def test_an_array_comes_back_as_it_went_wherever_it_lies(array: npt.NDArray[Any], before: bytes) -> None:
    got = there_and_back([before, {"deep": array}])
    assert got[0] == before
    assert same(got[1]["deep"], array)


@given(arrays(), st.integers(0, 70))
def test_a_large_array_is_not_copied_and_is_aligned(array: npt.NDArray[Any], pad: int) -> None:
    if array.size == 0:
        return
    large = np.resize(array, (SHARED_BYTES // array.itemsize + 1, 2))
    for value in ([b"x" * pad, large], (large,), {"pad": "x" * pad, "large": large}, large):
        payload = echo.payload.encode(value)
        assert isinstance(payload, Pieces)
        elements = next(n for n, part in enumerate(payload.parts) if isinstance(part, memoryview))
        assert sum(map(len, payload.parts[:elements])) % _ndarray.ALIGNMENT == 0
        got = there_and_back(value)
        found = got if value is large else got["large"] if isinstance(value, dict) else got[-1]
        assert same(found, large)


@given(st.sampled_from([b"", b"x"]), st.integers(0, 3))
def test_large_bytes_of_each_kind_are_not_copied(tail: bytes, kind: int) -> None:
    large = bytes(SHARED_BYTES) + tail
    value: Any = [large, bytearray(large), memoryview(large), np.frombuffer(large, "u1").data][kind]
    payload = echo.payload.encode({"small": 1, "large": value})
    assert isinstance(payload, Pieces)
    assert msgspec.msgpack.decode(whole(payload)) == {"small": 1, "large": large}


@pytest.mark.parametrize("view", [memoryview(bytes(range(256)) * 1024)[::2], np.asfortranarray(np.eye(300)).data])
def test_a_large_view_whose_elements_lie_apart_is_copied(view: memoryview) -> None:
    assert view.nbytes >= SHARED_BYTES
    for value in (view, [view]):
        payload = echo.payload.encode(value)
        assert isinstance(payload, Pieces)
        assert msgspec.msgpack.decode(whole(payload)) in (view.tobytes(), [view.tobytes()])


@pytest.mark.parametrize("size", [10, 2 * SHARED_BYTES])
def test_a_view_that_msgspec_does_not_take_says_what_to_return(size: int) -> None:
    with pytest.raises(TypeError, match=r"tool 'echo' returned .*a memoryview in it .* return its `\.tobytes\(\)`"):
        echo.payload.encode({"deep": [memoryview(bytes(size))[::2]]})


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([object()]), r"dtype object.*return `\.tolist\(\)`"),
        (np.array(["text"]), r"dtype str.*return `\.tolist\(\)`"),
        (np.zeros(2, dtype=[("a", "f4")]), "dtype void.*fields one by one"),
        (np.zeros(1, dtype="g"), "dtype float128.*astype"),
        (np.ma.masked_array([1], mask=[True]), "a masked array, whose mask would be lost"),
    ],
)
def test_an_array_that_cannot_go_says_why(array: npt.NDArray[Any], says: str) -> None:
    for value in (array, {"deep": [array]}):
        with pytest.raises(TypeError, match=rf"tool 'echo' returned .*{says}"):
            echo.payload.encode(value)


def test_what_arrives_is_read_only() -> None:
    got = there_and_back(np.arange(3))
    with pytest.raises(ValueError, match="read-only"):
        got[0] = 1
    assert there_and_back(bytearray(3)) == bytes(3)


def test_an_annotation_is_kept() -> None:
    @tool
    def total(rows: np.ndarray, weights: npt.NDArray[np.float64], real: npt.NDArray[np.floating[Any]]) -> None: ...

    fits: dict[str, Any] = {"rows": np.eye(2), "weights": np.ones(2), "real": np.ones(2, "f4")}
    got = total.payload.arguments(encode(fits))
    assert all(same(got[name], fits[name]) for name in fits)
    lists = total.payload.arguments(encode({"rows": [[1]], "weights": [1, 2], "real": [0.5]}))
    assert lists["weights"].dtype == np.float64
    for name, wrong, says in [
        ("weights", np.arange(2), "expected an array of float64, received one of int64"),
        ("real", np.arange(2), "expected an array of floating, received one of int64"),
        ("weights", "text", "could not convert"),
    ]:
        with pytest.raises(InvalidArguments, match=rf"parameter '{name}': .*{says}"):
            total.payload.arguments(encode({**fits, name: wrong}))


@given(arrays(), st.data())
def test_a_damaged_array_is_refused_or_read_within_its_bytes(array: npt.NDArray[Any], data: st.DataObject) -> None:
    raw = bytearray(encode({"value": array}))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (raw, raw[:cut]):
        try:
            got = echo.payload.arguments(bytes(damaged)).get("value")
        except InvalidArguments:
            continue
        assert not isinstance(got, np.ndarray) or got.nbytes <= len(damaged)


def test_numpy_is_not_imported_for_what_comes() -> None:
    program = """
import sys
from snakepit import InvalidArguments, tool

@tool
def echo(value): ...

try:
    echo.payload.arguments(bytes.fromhex(sys.argv[1]))
except InvalidArguments as misfit:
    print(misfit)
assert "numpy" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-c", program, encode({"value": np.eye(2)}).hex()],
        env={"PYTHONPATH": str(ROOT / "src")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "the adapter does not import numpy" in run.stdout
