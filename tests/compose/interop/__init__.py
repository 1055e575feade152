"""Upstream's programs on this host, against our containers through the published ports."""
