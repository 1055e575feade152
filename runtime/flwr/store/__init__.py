"""Durable state: the only SQL in the project."""
