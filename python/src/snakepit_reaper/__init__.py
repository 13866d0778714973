"""The parts of the Reaper: standard library only, and nothing of the worker's package.

`snakepit/reaper.py` is the program, and has the drawing of its protocol.
"""
