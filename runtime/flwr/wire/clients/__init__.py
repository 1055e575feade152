"""Typed clients; callers never see a stub."""
