"""A worker process and the host's side of its stream, small enough to see every frame."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec

from snakepit import _wire

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "the-secret-of-this-test"
PATIENCE = 10.0  # seconds for an event that comes in milliseconds; only a failing test waits so long


class WorkerProcess:
    """`python -m snakepit.worker`, started as the Reaper does it."""

    def __init__(
        self,
        folder: Path,
        adapter: str = "shelf",
        max_payload: int = 1 << 20,
        paths: str = "",
        more: tuple[str, ...] = (),
        **env: str,
    ) -> None:
        self.socket = str(folder / "worker.sock")
        status, status_writer = os.pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "snakepit.worker", "--socket", self.socket, "--adapter", adapter),
                *("--name", "test/0", "--max-payload", str(max_payload)),
                *("--path", paths or str(ROOT / "tests" / "adapters")),
                *more,
            ],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT / "src"),
                "SNAKEPIT_REAPER_PID": str(os.getpid()),
                "SNAKEPIT_STATUS_FD": str(status_writer),
                **env,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(status_writer,),
            start_new_session=True,
        )
        os.close(status_writer)
        assert self.process.stdin is not None
        self.process.stdin.write(TOKEN.encode() + b"\n")
        self.process.stdin.close()
        with open(status) as lines:
            line = lines.readline()
        self.status: dict[str, Any] = json.loads(line) if line else {}

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


class Stream:
    """One Connect: writes batches, keeps what came back."""

    def __init__(self, over: str | Stream) -> None:
        """`over` a socket, or the connection of another one."""
        local = [("grpc.use_local_subchannel_pool", 1)]
        self._channel: Any = (
            over._channel if isinstance(over, Stream) else grpc.insecure_channel(f"unix:{over}", options=local)
        )
        connect = self._channel.stream_stream(
            "/snakepit.v1.WorkerService/Connect",
            request_serializer=_wire.ConnectRequest.SerializeToString,
            response_deserializer=_wire.ConnectResponse.FromString,
        )
        self._requests: queue.SimpleQueue[_wire.ConnectRequest | None] = queue.SimpleQueue()
        self._batch = 0
        self.session = random.getrandbits(53) | 1
        self.tools: dict[str, int] = {}
        self.read = 0
        self.heard = 0
        self.seen: list[_wire.WorkerFrame] = []
        self.batches: list[int] = []
        self.ended = False
        self._changed = threading.Condition()
        self.responses = connect(iter(self._requests.get, None))
        threading.Thread(target=self._receive, daemon=True).start()

    def send(self, *frames: _wire.HostFrame, batch: int | None = None) -> None:
        self._batch += 1
        self._requests.put(_wire.ConnectRequest(batch=self._batch if batch is None else batch, frames=frames))

    def request(self, request: _wire.ConnectRequest) -> None:
        self._requests.put(request)

    def hello(self, **fields: Any) -> None:
        usual: dict[str, Any] = {"protocol": 1, "token": TOKEN, "max_payload": 1 << 20, "session": self.session}
        hello = _wire.Hello(**usual | fields)
        self.request(_wire.ConnectRequest(read=self.heard, frames=[_wire.HostFrame(hello=hello)]))

    def resume(self, cut: Stream) -> None:
        """Goes on with the session of a stream that was cut."""
        self.session, self._batch, self.heard, self.tools = cut.session, cut._batch, cut.heard, cut.tools
        self.hello(resume=True)

    def acknowledge(self) -> None:
        self.request(_wire.ConnectRequest(read=self.heard))

    def welcome(self) -> _wire.Welcome:
        self.hello()
        self.tools = {tool.name: tool.id for tool in self.await_frame("welcome").welcome.tools}
        return self.seen[0].welcome

    def call(self, id: int, tool: str, /, credit: int = 0, skip: int = 0, deadline_ms: int = 0, **kw: object) -> None:
        self.send(self.call_frame(id, tool, credit=credit, skip=skip, deadline_ms=deadline_ms, **kw))

    def call_frame(
        self, id: int, tool: str, /, credit: int = 0, skip: int = 0, deadline_ms: int = 0, **kw: object
    ) -> _wire.HostFrame:
        payload = msgspec.msgpack.encode(kw) if kw else b""
        tool_id = self.tools[tool]
        return _wire.HostFrame(
            call=_wire.Call(id=id, tool=tool_id, payload=payload, deadline_ms=deadline_ms, credit=credit, skip=skip)
        )

    def cancel(self, id: int) -> None:
        self.send(_wire.HostFrame(cancel=_wire.Cancel(id=id)))

    def credit(self, id: int, elements: int) -> None:
        self.send(_wire.HostFrame(credit=_wire.Credit(id=id, elements=elements)))

    def drain(self) -> None:
        self.send(_wire.HostFrame(drain=_wire.Drain()))

    def ping(self, id: int) -> None:
        self.send(_wire.HostFrame(ping=_wire.Ping(id=id)))

    def result(self, id: int) -> Any:
        return msgspec.msgpack.decode(self.await_frame("done", id).done.payload)

    def exception(self, id: int) -> _wire.PythonException:
        failed = self.await_frame("failed", id).failed
        assert failed.WhichOneof("reason") == "exception", failed
        return failed.exception

    def items(self, id: int) -> list[Any]:
        return [msgspec.msgpack.decode(frame.item.payload) for frame in self.of("item", id)]

    def of(self, kind: str, id: int | None = None) -> list[_wire.WorkerFrame]:
        return [
            frame
            for frame in self.seen
            if frame.WhichOneof("frame") == kind and (id is None or getattr(frame, kind).id == id)
        ]

    def await_frame(self, kind: str, id: int | None = None) -> _wire.WorkerFrame:
        self.until(lambda: bool(self.of(kind, id)))
        return self.of(kind, id)[0]

    def until(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            met = self._changed.wait_for(lambda: holds() or self.ended, PATIENCE)
        assert met, f"waited {PATIENCE} s in vain; seen: {self.seen}"
        assert holds(), f"stream ended: {self.responses.code()} {self.responses.details()}; seen: {self.seen}"

    def await_end(self) -> grpc.StatusCode:
        with self._changed:
            assert self._changed.wait_for(lambda: self.ended, PATIENCE)
        return self.responses.code()

    def close(self) -> None:
        self._requests.put(None)
        self.responses.cancel()
        self._channel.close()

    def _receive(self) -> None:
        try:
            for response in self.responses:
                with self._changed:
                    self.read = response.read
                    if response.batch:
                        self.heard = response.batch
                        self.batches.append(response.batch)
                    self.seen.extend(response.frames)
                    self._changed.notify_all()
        except grpc.RpcError:
            pass
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()


def opened(socket: str) -> Iterator[Stream]:
    """A welcomed stream, closed afterwards."""
    stream = Stream(socket)
    try:
        stream.welcome()
        yield stream
    finally:
        stream.close()
