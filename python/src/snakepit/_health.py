"""`grpc.health.v1.Health` of a worker: SERVING, and NOT_SERVING from SIGTERM on."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from snakepit._grpc import Call, OneRequest, Status

SERVICE = "grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"  # HealthCheckResponse, field 1


def _request_class() -> type[Message]:
    """HealthCheckRequest: its one field is the name of a service."""
    file = FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
    service = file.message_type.add(name="HealthCheckRequest").field.add(name="service", number=1)
    service.type, service.label = service.TYPE_STRING, service.LABEL_OPTIONAL
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest"))


class Health:
    """Answers for `services` and for the whole, ""."""

    def __init__(self, services: list[str]) -> None:
        self._services = frozenset(["", *services])
        self._lock = threading.Lock()
        self._draining = False
        self._watching: set[Call] = set()
        self._request: Any = None
        self.methods = {
            f"/{SERVICE}/Check": partial(OneRequest, self.check),
            f"/{SERVICE}/Watch": partial(OneRequest, self.watch, gone=self.forget),
        }
        """By their paths."""

    def drain(self) -> None:
        """Tells those who watch."""
        with self._lock:
            self._draining = True
            for call in self._watching:
                call.send(NOT_SERVING)

    def check(self, call: Call, request: bytes) -> None:
        if self._knows(request):
            call.send(NOT_SERVING if self._draining else SERVING)
            call.finish(Status.OK)
        else:
            call.finish(Status.NOT_FOUND, "this worker has no such service")

    def watch(self, call: Call, request: bytes) -> None:
        with self._lock:
            if not self._knows(request):
                call.send(SERVICE_UNKNOWN)
                return
            call.send(NOT_SERVING if self._draining else SERVING)
            self._watching.add(call)

    def forget(self, call: Call) -> None:
        with self._lock:
            self._watching.discard(call)

    def _knows(self, request: bytes) -> bool:
        if self._request is None:
            self._request = _request_class()  # when somebody asks: most workers are never asked
        try:
            return self._request.FromString(request).service in self._services
        except DecodeError:
            return False
