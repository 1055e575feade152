"""Generated code of flwr.compose.v1: Launches, AppLogs, NodeLogs."""
