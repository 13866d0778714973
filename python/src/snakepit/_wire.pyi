"""Types of the messages that `_wire.py` makes; kept by hand beside `worker.proto`."""

from collections.abc import Iterable

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer
from google.protobuf.message import Message

PROTOCOL: int

class ConnectRequest(Message):
    batch: int
    frames: RepeatedCompositeFieldContainer[HostFrame]
    def __init__(self, *, batch: int = ..., frames: Iterable[HostFrame] = ...) -> None: ...

class ConnectResponse(Message):
    read: int
    frames: RepeatedCompositeFieldContainer[WorkerFrame]
    def __init__(self, *, read: int = ..., frames: Iterable[WorkerFrame] = ...) -> None: ...

class HostFrame(Message):
    hello: Hello
    call: Call
    cancel: Cancel
    credit: Credit
    ping: Ping
    drain: Drain
    def __init__(
        self,
        *,
        hello: Hello = ...,
        call: Call = ...,
        cancel: Cancel = ...,
        credit: Credit = ...,
        ping: Ping = ...,
        drain: Drain = ...,
    ) -> None: ...

class WorkerFrame(Message):
    welcome: Welcome
    started: Started
    item: Item
    done: Done
    failed: Failed
    pong: Pong
    refused: Refused
    drained: Drained
    def __init__(
        self,
        *,
        welcome: Welcome = ...,
        started: Started = ...,
        item: Item = ...,
        done: Done = ...,
        failed: Failed = ...,
        pong: Pong = ...,
        refused: Refused = ...,
        drained: Drained = ...,
    ) -> None: ...

class Hello(Message):
    protocol: int
    token: str
    max_payload: int
    rehearse: bool
    def __init__(
        self, *, protocol: int = ..., token: str = ..., max_payload: int = ..., rehearse: bool = ...
    ) -> None: ...

class Welcome(Message):
    protocol: int
    pid: int
    tools: RepeatedCompositeFieldContainer[Tool]
    catalogue_hash: bytes
    def __init__(
        self, *, protocol: int = ..., pid: int = ..., tools: Iterable[Tool] = ..., catalogue_hash: bytes = ...
    ) -> None: ...

class Refused(Message):
    field: str
    expected: str
    received: str
    def __init__(self, *, field: str = ..., expected: str = ..., received: str = ...) -> None: ...

class Tool(Message):
    id: int
    name: str
    streams: bool
    description: str
    def __init__(self, *, id: int = ..., name: str = ..., streams: bool = ..., description: str = ...) -> None: ...

class Call(Message):
    id: int
    tool: int
    payload: bytes
    deadline_ms: int
    credit: int
    skip: int
    def __init__(
        self,
        *,
        id: int = ...,
        tool: int = ...,
        payload: bytes = ...,
        deadline_ms: int = ...,
        credit: int = ...,
        skip: int = ...,
    ) -> None: ...

class Cancel(Message):
    id: int
    def __init__(self, *, id: int = ...) -> None: ...

class Credit(Message):
    id: int
    elements: int
    def __init__(self, *, id: int = ..., elements: int = ...) -> None: ...

class Ping(Message):
    id: int
    def __init__(self, *, id: int = ...) -> None: ...

class Pong(Message):
    id: int
    def __init__(self, *, id: int = ...) -> None: ...

class Drain(Message): ...
class Drained(Message): ...

class Started(Message):
    id: int
    def __init__(self, *, id: int = ...) -> None: ...

class Item(Message):
    id: int
    payload: bytes
    def __init__(self, *, id: int = ..., payload: bytes = ...) -> None: ...

class Done(Message):
    id: int
    payload: bytes
    def __init__(self, *, id: int = ..., payload: bytes = ...) -> None: ...

class Failed(Message):
    id: int
    exception: PythonException
    cancelled: bool
    too_large: int
    declined: bool
    def __init__(
        self,
        *,
        id: int = ...,
        exception: PythonException = ...,
        cancelled: bool = ...,
        too_large: int = ...,
        declined: bool = ...,
    ) -> None: ...

class PythonException(Message):
    type: str
    bases: RepeatedScalarFieldContainer[str]
    message: str
    frames: RepeatedCompositeFieldContainer[Frame]
    notes: RepeatedScalarFieldContainer[str]
    cause: PythonException
    implicit: bool
    members: RepeatedCompositeFieldContainer[PythonException]
    def __init__(
        self,
        *,
        type: str = ...,
        bases: Iterable[str] = ...,
        message: str = ...,
        frames: Iterable[Frame] = ...,
        notes: Iterable[str] = ...,
        cause: PythonException = ...,
        implicit: bool = ...,
        members: Iterable[PythonException] = ...,
    ) -> None: ...

class Frame(Message):
    file: str
    line: int
    function: str
    source: str
    def __init__(self, *, file: str = ..., line: int = ..., function: str = ..., source: str = ...) -> None: ...
