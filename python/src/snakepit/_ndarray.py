"""numpy arrays as MessagePack: an extension with the type, the shape and the bytes of the elements. Never pickled.

    ext 78:  u8 length of the name │ name of the type, ASCII │ u8 dimensions │ u64 little-endian each │ zeros │ elements

The elements are at the end, little-endian, in C order; the zeros put them at a multiple of 64 bytes of the payload
where whoever writes knows it, so that an array can look into the payload. numpy is not imported for what comes.
"""

from __future__ import annotations

import math
import re
import struct
import sys
import typing
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy
    import numpy.typing as npt

EXTENSION = 78  # "N"
ALIGNMENT = 64  # a cache line, and the widest registers
NAMES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)|(datetime|timedelta)64(\[\d*[A-Za-z]+\])?")


class NotCarried(TypeError):
    """An array of this type cannot travel, or what came is none."""


def module() -> Any:
    """The module numpy if somebody has imported it, else None."""
    return sys.modules.get("numpy")


def is_array(value: object) -> bool:
    numpy = module()
    return numpy is not None and isinstance(value, numpy.ndarray)


def write(array: npt.NDArray[Any], at: int | None = None) -> tuple[bytes, memoryview]:
    """What stands before the elements, and the elements; `at`: where in the payload the first of these bytes will be.

    With `at` the extension's own head is among them. Raises NotCarried.
    """
    import numpy

    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(array, masked.MaskedArray):
        raise NotCarried("a masked array, whose mask would be lost; return its data and its mask, or `.filled(...)`")
    dtype = array.dtype
    if not NAMES.fullmatch(dtype.name):
        raise NotCarried(f"an array of dtype {dtype.name}, which has no form outside Python; {_advice(dtype)}")
    plain = numpy.asarray(array, dtype=dtype.newbyteorder("<"), order="C")
    elements = plain.reshape(-1).view(numpy.uint8).data
    name = dtype.name.encode()
    about = struct.pack(f"<B{len(name)}sB{plain.ndim}Q", len(name), name, plain.ndim, *plain.shape)
    if at is None:
        return about, elements
    head = 6 + len(about)
    padding = -(at + head) % ALIGNMENT
    size = len(about) + padding + len(elements)
    return struct.pack(">BIb", 0xC9, size, EXTENSION) + about + bytes(padding), elements


def extension(array: npt.NDArray[Any]) -> msgspec.msgpack.Ext:
    """As MessagePack carries it anywhere in a value; copies. Raises NotCarried."""
    return msgspec.msgpack.Ext(EXTENSION, b"".join(write(array)))


def read(code: int, data: memoryview) -> Any:
    """The value of an extension: an array that looks into `data`, read-only. Raises NotCarried."""
    if code != EXTENSION:
        return msgspec.msgpack.Ext(code, bytes(data))
    numpy = module()
    if numpy is None:
        raise NotCarried("a numpy array came, and the adapter does not import numpy; import it, or send a list")
    try:
        (length,) = struct.unpack_from("<B", data)
        (name,) = struct.unpack_from(f"<{length}s", data, 1)
        (dimensions,) = struct.unpack_from("<B", data, 1 + length)
        shape = struct.unpack_from(f"<{dimensions}Q", data, 2 + length)
        if not NAMES.fullmatch(name.decode("ascii")):
            raise NotCarried(f"an array of dtype {name!r} came, which no array has that is sent")
        dtype = numpy.dtype(name.decode("ascii")).newbyteorder("<")
        size = math.prod(shape) * dtype.itemsize
        if size > len(data) - 2 - length - 8 * dimensions:
            raise NotCarried(f"an array of {dtype.name} with shape {shape} came, and too few bytes for it")
        array = numpy.frombuffer(data[len(data) - size :] or b"", numpy.uint8).view(dtype).reshape(shape)
    except (struct.error, ValueError, OverflowError, TypeError) as problem:
        if isinstance(problem, NotCarried):
            raise
        raise NotCarried(f"an array came that is cut off or damaged: {problem}") from None
    array.flags.writeable = False
    return array


def fit(expected: Any, value: Any) -> Any:
    """An array for a parameter annotated as `expected`, made of lists if need be; raises TypeError, ValueError."""
    numpy = module()
    wanted = _scalar(expected)
    if not isinstance(value, numpy.ndarray):
        return numpy.asarray(value, dtype=wanted if wanted in numpy.sctypeDict.values() else None)
    if wanted is not None and not numpy.issubdtype(value.dtype, wanted):
        raise TypeError(f"expected an array of {wanted.__name__}, received one of {value.dtype.name}")
    return value


def _scalar(expected: Any) -> Any:
    """`float64` of `ndarray[shape, dtype[float64]]`; None when it names none."""
    dtype = typing.get_args(expected)[1:]
    for scalar in typing.get_args(dtype[0])[:1] if dtype else ():
        kind = typing.get_origin(scalar) or scalar
        if isinstance(kind, type) and issubclass(kind, module().generic):
            return kind
    return None


def _advice(dtype: numpy.dtype[Any]) -> str:
    if dtype.names is not None:
        return "return its fields one by one, in a dict"
    if dtype.kind in "OSUT":
        return "return `.tolist()`"
    return "convert it with `.astype(...)`"
