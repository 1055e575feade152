"""Flower App Bundles: read a project, pack it, unpack it."""
