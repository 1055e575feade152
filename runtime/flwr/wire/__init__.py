"""Where the domain meets protobuf and gRPC.  Nothing above passes a protobuf message on."""
