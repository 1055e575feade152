"""Older spellings of ``flwr.crypto.shamir`` and ``flwr.crypto.symmetric``."""
