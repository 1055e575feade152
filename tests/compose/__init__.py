"""Whole federations in containers, from the project's own compose files: one folder per promise."""
