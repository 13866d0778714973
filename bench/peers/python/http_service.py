"""A FastAPI service on a Unix socket that answers with the body it was sent. Ends when its stdin does."""

import os
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/echo")
async def echo(request: Request) -> Response:
    """The same bytes again: no JSON and no model, which would only cost it time."""
    return Response(await request.body())


def end_with_stdin() -> None:
    """Ends the process as soon as nobody holds the other end of its stdin."""
    sys.stdin.read()
    os._exit(0)


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(1024)
threading.Thread(target=end_with_stdin, daemon=True).start()
print("ready", flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="error")
uvicorn.Server(config).run([listener])
