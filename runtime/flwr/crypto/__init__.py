"""Primitives over bytes.  Pure functions; nothing here knows a federation."""
