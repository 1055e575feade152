"""Launches short-lived app processes and reports how they ended."""
