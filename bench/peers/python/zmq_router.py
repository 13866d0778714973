"""For ZeroMQ: a ROUTER socket that sends every message back. Ends when its stdin does."""

import os
import sys
import threading

import zmq


def end_with_stdin() -> None:
    """Ends the process as soon as nobody holds the other end of its stdin."""
    sys.stdin.read()
    os._exit(0)


socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
threading.Thread(target=end_with_stdin, daemon=True).start()
print("ready", flush=True)
while True:
    socket.send_multipart(socket.recv_multipart())
