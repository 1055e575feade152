"""Servicers: decode, call one operation, encode."""
