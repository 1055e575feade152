"""Stopping, starting again and losing power: state and identities outlive containers."""
