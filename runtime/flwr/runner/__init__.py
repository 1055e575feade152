"""Runs one app: networking here, user code in a child process without credentials."""
