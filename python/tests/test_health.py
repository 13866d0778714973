"""`grpc.health.v1` on a worker."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from worker_host import PATIENCE, TOKEN, Stream, WorkerProcess

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
coded = {
    "request_serializer": health_pb2.HealthCheckRequest.SerializeToString,
    "response_deserializer": health_pb2.HealthCheckResponse.FromString,
}


def test_a_worker_serves_until_it_drains(worker: WorkerProcess, folder: Path) -> None:
    with grpc.insecure_channel(f"unix:{worker.socket}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", **coded)
        for service in ("", "snakepit.v1.WorkerService"):
            assert check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE).status == SERVING
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch", **coded)
        seen = watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(seen).status == SERVING
        stream = Stream(worker.socket)
        stream.welcome()
        stream.call(1, "wait_until", path=str(folder / "go"))
        stream.await_frame("started", 1)
        worker.terminate()
        assert next(seen).status == NOT_SERVING
        assert check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == NOT_SERVING
        (folder / "go").touch()
        stream.await_frame("done", 1)
        assert worker.exit_code() == 0
        stream.close()


def test_a_service_that_there_is_not_is_not_found(shared_worker: WorkerProcess) -> None:
    with grpc.insecure_channel(f"unix:{shared_worker.socket}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", **coded)
        asked = check.future(health_pb2.HealthCheckRequest(service="other"), timeout=PATIENCE)
        assert asked.code() == grpc.StatusCode.NOT_FOUND
        assert TOKEN not in str(asked.details())
