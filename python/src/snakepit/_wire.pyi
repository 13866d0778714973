"""Types of the messages that `_wire.py` makes; kept by hand beside `worker.proto`."""

from collections.abc import Iterable, Mapping, MutableMapping

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer
from google.protobuf.message import Message

PROTOCOL: int

class ConnectRequest(Message):
    batch: int
    frames: RepeatedCompositeFieldContainer[HostFrame]
    read: int
    def __init__(
        self,
        *,
        batch: int = ...,
        frames: Iterable[HostFrame] = ...,
        read: int = ...,
    ) -> None: ...

class ConnectResponse(Message):
    read: int
    frames: RepeatedCompositeFieldContainer[WorkerFrame]
    batch: int
    def __init__(
        self,
        *,
        read: int = ...,
        frames: Iterable[WorkerFrame] = ...,
        batch: int = ...,
    ) -> None: ...

class HostFrame(Message):
    hello: Hello
    call: Call
    cancel: Cancel
    credit: Credit
    ping: Ping
    drain: Drain
    input: Input
    input_end: InputEnd
    rename: Rename
    free: Free
    host_result: HostResult
    session_start: SessionStart
    session_end: SessionEnd
    telemetry_control: TelemetryControl
    def __init__(
        self,
        *,
        hello: Hello = ...,
        call: Call = ...,
        cancel: Cancel = ...,
        credit: Credit = ...,
        ping: Ping = ...,
        drain: Drain = ...,
        input: Input = ...,
        input_end: InputEnd = ...,
        rename: Rename = ...,
        free: Free = ...,
        host_result: HostResult = ...,
        session_start: SessionStart = ...,
        session_end: SessionEnd = ...,
        telemetry_control: TelemetryControl = ...,
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
    want: Want
    free: Free
    host_call: HostCall
    host_call_cancel: HostCallCancel
    session_ended: SessionEnded
    telemetry: Telemetry
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
        want: Want = ...,
        free: Free = ...,
        host_call: HostCall = ...,
        host_call_cancel: HostCallCancel = ...,
        session_ended: SessionEnded = ...,
        telemetry: Telemetry = ...,
    ) -> None: ...

class Hello(Message):
    protocol: int
    token: str
    max_payload: int
    rehearse: bool
    session: int
    resume: bool
    segments: str
    segment_bytes: int
    def __init__(
        self,
        *,
        protocol: int = ...,
        token: str = ...,
        max_payload: int = ...,
        rehearse: bool = ...,
        session: int = ...,
        resume: bool = ...,
        segments: str = ...,
        segment_bytes: int = ...,
    ) -> None: ...

class Welcome(Message):
    protocol: int
    pid: int
    tools: RepeatedCompositeFieldContainer[Tool]
    catalogue_hash: bytes
    concurrency: int
    def __init__(
        self,
        *,
        protocol: int = ...,
        pid: int = ...,
        tools: Iterable[Tool] = ...,
        catalogue_hash: bytes = ...,
        concurrency: int = ...,
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
    timeout_ms: int
    hard_limit_ms: int
    idempotent: bool
    deterministic: bool
    blocking: bool
    thread_sensitive: bool
    input: str
    contract: MutableMapping[str, str]
    def __init__(
        self,
        *,
        id: int = ...,
        name: str = ...,
        streams: bool = ...,
        description: str = ...,
        timeout_ms: int = ...,
        hard_limit_ms: int = ...,
        idempotent: bool = ...,
        deterministic: bool = ...,
        blocking: bool = ...,
        thread_sensitive: bool = ...,
        input: str = ...,
        contract: Mapping[str, str] = ...,
    ) -> None: ...

class Shared(Message):
    segment: int
    length: int
    def __init__(self, *, segment: int = ..., length: int = ...) -> None: ...

class Free(Message):
    segments: RepeatedScalarFieldContainer[int]
    def __init__(self, *, segments: Iterable[int] = ...) -> None: ...

class Call(Message):
    id: int
    tool: int
    payload: bytes
    deadline_ms: int
    credit: int
    skip: int
    session: str
    trace: bytes
    function: str
    shared: Shared
    trace_state: str
    def __init__(
        self,
        *,
        id: int = ...,
        tool: int = ...,
        payload: bytes = ...,
        deadline_ms: int = ...,
        credit: int = ...,
        skip: int = ...,
        session: str = ...,
        trace: bytes = ...,
        function: str = ...,
        shared: Shared = ...,
        trace_state: str = ...,
    ) -> None: ...

class Rename(Message):
    name: str
    def __init__(self, *, name: str = ...) -> None: ...

class SessionStart(Message):
    session: str
    data: bytes
    def __init__(self, *, session: str = ..., data: bytes = ...) -> None: ...

class SessionEnd(Message):
    number: int
    session: str
    limit_ms: int
    def __init__(self, *, number: int = ..., session: str = ..., limit_ms: int = ...) -> None: ...

class SessionEnded(Message):
    number: int
    failure: str
    overran: bool
    def __init__(self, *, number: int = ..., failure: str = ..., overran: bool = ...) -> None: ...

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

class Input(Message):
    id: int
    payload: bytes
    shared: Shared
    def __init__(self, *, id: int = ..., payload: bytes = ..., shared: Shared = ...) -> None: ...

class InputEnd(Message):
    id: int
    failure: str
    def __init__(self, *, id: int = ..., failure: str = ...) -> None: ...

class Want(Message):
    id: int
    elements: int
    def __init__(self, *, id: int = ..., elements: int = ...) -> None: ...

class Drain(Message): ...
class Drained(Message): ...

class Started(Message):
    id: int
    def __init__(self, *, id: int = ...) -> None: ...

class Item(Message):
    id: int
    payload: bytes
    shared: Shared
    def __init__(self, *, id: int = ..., payload: bytes = ..., shared: Shared = ...) -> None: ...

class Done(Message):
    id: int
    payload: bytes
    micros: int
    shared: Shared
    def __init__(self, *, id: int = ..., payload: bytes = ..., micros: int = ..., shared: Shared = ...) -> None: ...

class Failed(Message):
    id: int
    exception: PythonException
    cancelled: Cancelled
    too_large: int
    declined: bool
    invalid: str
    unknown: str
    def __init__(
        self,
        *,
        id: int = ...,
        exception: PythonException = ...,
        cancelled: Cancelled = ...,
        too_large: int = ...,
        declined: bool = ...,
        invalid: str = ...,
        unknown: str = ...,
    ) -> None: ...

class Cancelled(Message):
    how: str
    def __init__(self, *, how: str = ...) -> None: ...

class HostCall(Message):
    call: int
    number: int
    name: str
    payload: bytes
    shared: Shared
    waits: bool
    span_id: bytes
    def __init__(
        self,
        *,
        call: int = ...,
        number: int = ...,
        name: str = ...,
        payload: bytes = ...,
        span_id: bytes = ...,
        shared: Shared = ...,
        waits: bool = ...,
    ) -> None: ...

class HostCallCancel(Message):
    number: int
    def __init__(self, *, number: int = ...) -> None: ...

class HostResult(Message):
    number: int
    payload: bytes
    shared: Shared
    failure: HostFailure
    def __init__(
        self, *, number: int = ..., payload: bytes = ..., shared: Shared = ..., failure: HostFailure = ...
    ) -> None: ...

class HostFailure(Message):
    reason: str
    message: str
    tag: str
    data: bytes
    def __init__(self, *, reason: str = ..., message: str = ..., tag: str = ..., data: bytes = ...) -> None: ...

class TelemetryControl(Message):
    settings: TelemetrySettings
    credit: int
    def __init__(self, *, settings: TelemetrySettings = ..., credit: int = ...) -> None: ...

class TelemetrySettings(Message):
    on: bool
    allow: RepeatedScalarFieldContainer[str]
    deny: RepeatedScalarFieldContainer[str]
    sampling: RepeatedCompositeFieldContainer[TelemetrySampling]
    log_level: int
    output: bool
    sample_ms: int
    def __init__(
        self,
        *,
        on: bool = ...,
        allow: Iterable[str] = ...,
        deny: Iterable[str] = ...,
        sampling: Iterable[TelemetrySampling] = ...,
        log_level: int = ...,
        output: bool = ...,
        sample_ms: int = ...,
    ) -> None: ...

class TelemetrySampling(Message):
    pattern: str
    rate: float
    def __init__(self, *, pattern: str = ..., rate: float = ...) -> None: ...

class Telemetry(Message):
    records: RepeatedCompositeFieldContainer[TelemetryRecord]
    dropped: RepeatedCompositeFieldContainer[TelemetryDropped]
    def __init__(
        self, *, records: Iterable[TelemetryRecord] = ..., dropped: Iterable[TelemetryDropped] = ...
    ) -> None: ...

class TelemetryDropped(Message):
    reason: str
    records: int
    def __init__(self, *, reason: str = ..., records: int = ...) -> None: ...

class TelemetryRecord(Message):
    at_micros: int
    call: int
    tool: str
    attributes: RepeatedCompositeFieldContainer[TelemetryAttribute]
    event: TelemetryEvent
    span: TelemetrySpan
    log: TelemetryLog
    def __init__(
        self,
        *,
        at_micros: int = ...,
        call: int = ...,
        tool: str = ...,
        attributes: Iterable[TelemetryAttribute] = ...,
        event: TelemetryEvent = ...,
        span: TelemetrySpan = ...,
        log: TelemetryLog = ...,
    ) -> None: ...

class TelemetryAttribute(Message):
    key: str
    text: str
    number: float
    flag: bool
    def __init__(self, *, key: str = ..., text: str = ..., number: float = ..., flag: bool = ...) -> None: ...

class TelemetryEvent(Message):
    name: str
    measurements: RepeatedCompositeFieldContainer[TelemetryMeasurement]
    def __init__(self, *, name: str = ..., measurements: Iterable[TelemetryMeasurement] = ...) -> None: ...

class TelemetryMeasurement(Message):
    key: str
    value: float
    def __init__(self, *, key: str = ..., value: float = ...) -> None: ...

class TelemetrySpan(Message):
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    took_micros: int
    server: bool
    error: TelemetryError
    def __init__(
        self,
        *,
        name: str = ...,
        trace_id: bytes = ...,
        span_id: bytes = ...,
        parent_id: bytes = ...,
        took_micros: int = ...,
        server: bool = ...,
        error: TelemetryError = ...,
    ) -> None: ...

class TelemetryError(Message):
    type: str
    message: str
    stack: str
    def __init__(self, *, type: str = ..., message: str = ..., stack: str = ...) -> None: ...

class TelemetryLog(Message):
    logger: str
    level: int
    message: str
    trace_id: bytes
    span_id: bytes
    def __init__(
        self,
        *,
        logger: str = ...,
        level: int = ...,
        message: str = ...,
        trace_id: bytes = ...,
        span_id: bytes = ...,
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

class ExecuteRequest(Message):
    tool: str
    payload: bytes
    session: str
    def __init__(self, *, tool: str = ..., payload: bytes = ..., session: str = ...) -> None: ...

class ExecuteResponse(Message):
    payload: bytes
    def __init__(self, *, payload: bytes = ...) -> None: ...
