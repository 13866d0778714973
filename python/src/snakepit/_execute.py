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
from typing import NoReturn

import grpc

from snakepit._catalogue import Catalogue
from snakepit._errors import describe
from snakepit._execution import Executor
from snakepit._job import Job
from snakepit._pieces import Encoded, whole
from snakepit._wire import ExecuteRequest, ExecuteResponse, PythonException

AT_ONCE = 8  # each waits in a thread of the server; the streams have their own
TRAILER_BYTES = 4096  # peers take 8 KiB of metadata in all, and base64 makes three bytes four
DETAIL_CHARACTERS = 1000
STREAMS = "it streams, which one request and one response cannot carry; use Connect, or the gateway"

Outcome = bytes | tuple[grpc.StatusCode, str] | PythonException


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    context.abort(code, details)
    raise AssertionError("gRPC's abort raises")


class Answer:
    """Where the outcome of one call is said; what else is said of the call is not heard."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self.outcome: Outcome | None = None
        """None: nobody waits for it any more."""

    def wait(self) -> Outcome | None:
        self._said.wait()
        return self.outcome

    def give_up(self) -> None:
        self._said.set()

    def started(self, id: int) -> None:
        pass

    def want(self, id: int, elements: int) -> None:
        pass

    def drained(self) -> None:
        pass

    def flush(self, timeout: float) -> None:
        pass

    def item(self, id: int, payload: Encoded) -> None:
        self._say((grpc.StatusCode.INVALID_ARGUMENT, STREAMS))

    def done(self, id: int, payload: Encoded, micros: int) -> None:
        self._say(whole(payload))

    def raised(self, id: int, exception: BaseException) -> None:
        described = PythonException()
        describe(exception, described)
        self._say(described)

    def cancelled(self, id: int, how: str) -> None:
        self._say((grpc.StatusCode.CANCELLED, f"the call was cancelled ({how})"))

    def invalid(self, id: int, issue: str) -> None:
        self._say((grpc.StatusCode.INVALID_ARGUMENT, issue))

    def unknown(self, id: int, issue: str) -> None:
        self._say((grpc.StatusCode.NOT_FOUND, issue))

    def declined(self, id: int) -> None:
        self._say((grpc.StatusCode.UNAVAILABLE, "the worker is draining and takes no call any more"))

    def too_large(self, id: int, size: int) -> None:
        self._say((grpc.StatusCode.RESOURCE_EXHAUSTED, f"the result has {size} bytes, more than max_payload allows"))

    def _say(self, outcome: Outcome) -> None:
        if not self._said.is_set():
            self.outcome = outcome
            self._said.set()


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

    def execute(self, request: ExecuteRequest, context: grpc.ServicerContext) -> ExecuteResponse:
        self._admit(context)
        tool = self._tools.get(request.tool)
        function = "" if tool is not None or ":" not in request.tool else request.tool
        if tool is None and not function:
            known = ", ".join(sorted(self._tools))
            _abort(context, grpc.StatusCode.NOT_FOUND, f"no tool is named {request.tool!r}; there are: {known}")
        if tool is not None and (tool.streams or tool.payload.input is not None):
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"tool {tool.name!r}: {STREAMS}")
        if not self._free.acquire(blocking=False):
            _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, f"{AT_ONCE} calls of Execute run already; try again")
        id, answer, left = next(self._ids), Answer(), context.time_remaining()
        deadline = None if left is None else time.monotonic() + left
        try:
            job = Job(
                id=id,
                tool=tool,
                arguments=request.payload,
                deadline=deadline,
                credit=1,  # for a function that turns out to stream: its first element tells
                skip=0,
                max_payload=self._max_payload,
                outbox=answer,
                session=request.session,
                function=function,
            )
            self._executor.submit(job)
            if not context.add_callback(answer.give_up):
                answer.give_up()
            return self._respond(answer.wait(), deadline, context)
        finally:
            self._executor.cancel(id)  # what nobody waits for any more; nothing of a call that has ended
            self._free.release()

    def _admit(self, context: grpc.ServicerContext) -> None:
        given = next((value for key, value in context.invocation_metadata() if key == "authorization"), "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            _abort(
                context,
                grpc.StatusCode.UNAUTHENTICATED,
                "the metadata must have `authorization: Bearer <token>` with the token this worker was started with",
            )

    def _respond(
        self, outcome: Outcome | None, deadline: float | None, context: grpc.ServicerContext
    ) -> ExecuteResponse:
        if isinstance(outcome, bytes):
            return ExecuteResponse(payload=outcome)
        if isinstance(outcome, PythonException):
            context.set_trailing_metadata((("snakepit-exception-bin", fitting(outcome)),))
            _abort(context, grpc.StatusCode.UNKNOWN, f"{outcome.type}: {outcome.message}"[:DETAIL_CHARACTERS])
        code, detail = outcome or (grpc.StatusCode.CANCELLED, "its caller is gone")
        if code is grpc.StatusCode.CANCELLED and deadline is not None and time.monotonic() >= deadline:
            code, detail = grpc.StatusCode.DEADLINE_EXCEEDED, "its deadline passed before it had a result"
        _abort(context, code, detail)


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
