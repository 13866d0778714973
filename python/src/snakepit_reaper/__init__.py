"""The Reaper: standard library only, and nothing of the worker's package.

`__main__.py` is the program, and has the drawing of its protocol.
"""
