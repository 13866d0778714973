"""An adapter whose import leaves a thread behind, as a metrics client does."""

import threading

from snakepit import tool

threading.Thread(target=threading.Event().wait, daemon=True).start()


@tool
def add(a: int, b: int = 1) -> int:
    return a + b
