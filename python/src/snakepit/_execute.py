"""One call on its own, the unary `Execute`: for debugging, and for clients in any language.

client ── ExecuteRequest ──▶ the executor, among the calls of the session ──▶ ExecuteResponse, or a status
          authorization: Bearer <token>                                       and snakepit-exception-bin
"""

from __future__ import annotations

import hmac
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial

from google.protobuf.message import DecodeError

from snakepit._catalogue import Catalogue
from snakepit._errors import describe
from snakepit._execution import Executor
from snakepit._grpc import Call, Handler, OneRequest, Status
from snakepit._job import Job
from snakepit._pieces import Encoded, whole
from snakepit._wire import ExecuteRequest, ExecuteResponse, PythonException

AT_ONCE = 8  # of other clients; the session has its own bound
TRAILER_BYTES = 4096  # peers take 8 KiB of metadata in all, and base64 makes three bytes four
DETAIL_CHARACTERS = 1000
STREAMS = "it streams, which one request and one response cannot carry; use Connect, or the gateway"


class Answer:
    """Where the outcome of one call is said, once; what else is said of the call is not heard."""

    def __init__(self, call: Call, id: int, over: Callable[[], None]) -> None:
        self.id = id
        self._call = call
        self._over = over
        self._lock = threading.Lock()
        self._begun = False
        self._said = False

    def begin(self) -> None:
        """From here on its end is the end of one that runs: `over` is called."""
        self._begun = True

    def started(self, id: int) -> None:
        pass

    def want(self, id: int, elements: int) -> None:
        pass

    def drained(self) -> None:
        pass

    def push(self) -> None:
        pass

    def later(self) -> None:
        pass

    def flush(self, timeout: float) -> None:
        pass

    def item(self, id: int, payload: Encoded) -> None:
        self._say(Status.INVALID_ARGUMENT, STREAMS)

    def done(self, id: int, payload: Encoded, micros: int) -> None:
        if self._is_first():
            self._call.send(ExecuteResponse(payload=whole(payload)).SerializeToString())
            self._call.finish(Status.OK)

    def raised(self, id: int, exception: BaseException) -> None:
        described = PythonException()
        describe(exception, described)
        details = f"{described.type}: {described.message}"[:DETAIL_CHARACTERS]
        self._say(Status.UNKNOWN, details, fitting(described))

    def cancelled(self, id: int, how: str) -> None:
        deadline = self._call.deadline
        if deadline is not None and time.monotonic() >= deadline:
            self._say(Status.DEADLINE_EXCEEDED, f"its deadline passed before it had a result ({how})")
        else:
            self._say(Status.CANCELLED, f"the call was cancelled ({how})")

    def invalid(self, id: int, issue: str) -> None:
        self._say(Status.INVALID_ARGUMENT, issue)

    def unknown(self, id: int, issue: str) -> None:
        self._say(Status.NOT_FOUND, issue)

    def declined(self, id: int) -> None:
        self._say(Status.UNAVAILABLE, "the worker is draining and takes no call any more")

    def too_large(self, id: int, size: int) -> None:
        self._say(Status.RESOURCE_EXHAUSTED, f"the result has {size} bytes, more than max_payload allows")

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._is_first()

    def _say(self, status: Status, details: str, exception: bytes | None = None) -> None:
        if self._is_first():
            self._call.finish(status, details, [] if exception is None else [(b"snakepit-exception-bin", exception)])

    def _is_first(self) -> bool:
        with self._lock:
            first, self._said = not self._said, True
        if first and self._begun:
            self._over()
        return first


class Unary:
    """Executes calls of `catalogue` for whoever knows `token`."""

    def __init__(self, executor: Executor, catalogue: Catalogue, token: str, max_payload: int) -> None:
        self._executor = executor
        self._tools = {tool.name: tool for tool in catalogue.tools}
        self._token = token
        self._max_payload = max_payload
        # below 0: the ids of the host are above
        self._ids = itertools.count(-1, -1)
        self._free = threading.Semaphore(AT_ONCE)

    def begin(self, call: Call) -> Handler | None:
        """The handler of one call; its request is not even read without the token."""
        if not hmac.compare_digest(call.metadata(b"authorization"), f"Bearer {self._token}".encode()):
            call.finish(
                Status.UNAUTHENTICATED,
                "the metadata must have `authorization: Bearer <token>` with the token this worker was started with",
            )
            return None
        answer = Answer(call, next(self._ids), self._free.release)
        return OneRequest(partial(self._execute, answer), call, gone=partial(self._give_up, answer))

    def _give_up(self, answer: Answer, call: Call) -> None:
        answer.give_up()
        self._executor.cancel(answer.id)

    def _execute(self, answer: Answer, call: Call, message: bytes) -> None:
        try:
            request = ExecuteRequest.FromString(message)
        except DecodeError:
            call.finish(Status.INVALID_ARGUMENT, "expected an ExecuteRequest; what came is none")
            return
        tool = self._tools.get(request.tool)
        function = "" if tool is not None or ":" not in request.tool else request.tool
        if tool is None and not function:
            known = ", ".join(sorted(self._tools))
            call.finish(Status.NOT_FOUND, f"no tool is named {request.tool!r}; there are: {known}")
            return
        if tool is not None and (tool.streams or tool.payload.input is not None):
            call.finish(Status.INVALID_ARGUMENT, f"tool {tool.name!r}: {STREAMS}")
            return
        if not self._free.acquire(blocking=False):
            call.finish(Status.RESOURCE_EXHAUSTED, f"{AT_ONCE} calls of Execute run already; try again")
            return
        answer.begin()
        job = Job(answer.id, tool, request.payload, answer, self._max_payload)
        job.deadline = call.deadline
        job.credit = 1  # for a function that turns out to stream: its first element tells
        job.session = request.session
        job.function = function
        job.alone = True
        self._executor.submit(job)


def fitting(exception: PythonException) -> bytes:
    """As much of it as the metadata of a response can carry; what says least goes first."""
    cuts: list[Callable[[], None]] = [
        lambda: exception.ClearField("members"),
        lambda: exception.cause.ClearField("frames"),
        lambda: exception.ClearField("cause"),
        lambda: exception.ClearField("notes"),
        lambda: _keep_last(exception, 8),
        lambda: _keep_last(exception, 0),
        lambda: setattr(exception, "message", exception.message[:DETAIL_CHARACTERS]),
        lambda: exception.ClearField("bases"),
    ]
    for cut in cuts:
        if exception.ByteSize() <= TRAILER_BYTES:
            break
        cut()
    return exception.SerializeToString()


def _keep_last(exception: PythonException, count: int) -> None:
    del exception.frames[: max(0, len(exception.frames) - count)]
