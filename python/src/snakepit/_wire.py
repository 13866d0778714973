"""Messages of `proto/snakepit/v1/worker.proto`, from the descriptor set committed beside this file.

Made by `buf build -o python/src/snakepit/_wire.binpb --as-file-descriptor-set`; there is no generated code. They live
in a descriptor pool of their own, so an adapter may bring its own copy of the same proto. Types: `_wire.pyi`.
"""

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PROTOCOL = 1

_pool = DescriptorPool()
for _file in FileDescriptorSet.FromString(Path(__file__).with_name("_wire.binpb").read_bytes()).file:
    _pool.AddSerializedFile(_file.SerializeToString())


def _message(name):
    return GetMessageClass(_pool.FindMessageTypeByName(f"snakepit.v1.{name}"))


ConnectRequest = _message("ConnectRequest")
ConnectResponse = _message("ConnectResponse")
HostFrame = _message("HostFrame")
WorkerFrame = _message("WorkerFrame")
Hello = _message("Hello")
Welcome = _message("Welcome")
Refused = _message("Refused")
Tool = _message("Tool")
Shared = _message("Shared")
Free = _message("Free")
Call = _message("Call")
SessionStart = _message("SessionStart")
SessionEnd = _message("SessionEnd")
SessionEnded = _message("SessionEnded")
Cancel = _message("Cancel")
Rename = _message("Rename")
Credit = _message("Credit")
Ping = _message("Ping")
Pong = _message("Pong")
Drain = _message("Drain")
Drained = _message("Drained")
Input = _message("Input")
InputEnd = _message("InputEnd")
Want = _message("Want")
Started = _message("Started")
Item = _message("Item")
Done = _message("Done")
HostCall = _message("HostCall")
HostCallCancel = _message("HostCallCancel")
HostResult = _message("HostResult")
HostFailure = _message("HostFailure")
Failed = _message("Failed")
Cancelled = _message("Cancelled")
TelemetryControl = _message("TelemetryControl")
TelemetrySettings = _message("TelemetrySettings")
TelemetrySampling = _message("TelemetrySampling")
Telemetry = _message("Telemetry")
TelemetryRecord = _message("TelemetryRecord")
PythonException = _message("PythonException")
Frame = _message("Frame")
ExecuteRequest = _message("ExecuteRequest")
ExecuteResponse = _message("ExecuteResponse")
