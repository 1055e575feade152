"""Measurements.  Nothing here asserts a time."""
