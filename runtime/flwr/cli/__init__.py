"""The ``flwr`` command."""
