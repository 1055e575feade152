"""Where the domain meets protobuf and gRPC.  Nothing above passes a protobuf message on."""

import os

import flwr.proto  # noqa: F401  # before any other use of protobuf: it decides what that loads

# Read by gRPC's core when it is first imported, which always happens below this package: its own
# log lines on stderr would sit between ours (wire contract §2.2).
os.environ.setdefault("GRPC_VERBOSITY", "error")
