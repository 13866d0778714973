"""`grpc.health.v1.Health` of a worker: SERVING, and NOT_SERVING from the moment it drains."""

from __future__ import annotations

import importlib
from typing import Any

import grpc

SERVICE = "grpc.health.v1.Health"


class Health(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    """Answers for `services` and for the whole, "". Its library is imported when somebody asks, not before."""

    def __init__(self, services: list[str]) -> None:
        self._services = ["", *services]
        self._draining = False
        self._servicer: Any = None
        self._handler: Any = None

    def service(self, handler_call_details: Any) -> Any:
        if not handler_call_details.method.startswith(f"/{SERVICE}/"):
            return None
        if self._handler is None:
            self._handler = self._load()
        return self._handler.service(handler_call_details)

    def drain(self) -> None:
        """Tells those who watch. Safe in a signal handler: the main thread holds none of its locks."""
        self._draining = True
        if self._servicer is not None:
            self._servicer.enter_graceful_shutdown()

    def _load(self) -> Any:
        health = importlib.import_module("grpc_health.v1.health")
        messages = importlib.import_module("grpc_health.v1.health_pb2")
        servicer = health.HealthServicer()
        for service in self._services:
            servicer.set(service, messages.HealthCheckResponse.SERVING)
        self._servicer = servicer
        if self._draining:
            servicer.enter_graceful_shutdown()
        coded = (messages.HealthCheckRequest.FromString, messages.HealthCheckResponse.SerializeToString)
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(servicer.Check, *coded),
                "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, *coded),
            },
        )
