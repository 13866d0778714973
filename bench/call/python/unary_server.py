"""A plain grpcio server: one unary method, one server stream, messages of raw bytes. Ends when its stdin does."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

THREADS = 10  # as in gRPC's own examples; from 1 to 32 it makes no difference
ELEMENT = bytes(32)


def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    """The same bytes again."""
    return request


def elements(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Elements until the client goes away."""
    while context.is_active():
        yield ELEMENT


def main() -> None:
    """Serves on the socket that is named on the command line."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=options)
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Elements": grpc.unary_stream_rpc_method_handler(elements),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Bench", methods)])
    server.add_insecure_port(f"unix:{sys.argv[1]}")
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


main()
