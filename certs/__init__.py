"""The PKI tool: what a federation trusts, made, handed on and checked.

Runs on the host and as a container, with Python and ``cryptography`` alone; it must never import
the runtime.
"""
