"""Topics of wake-ups that mean the same to everybody; a program names its own beside its rules."""

from typing import Final

EVERY_TOPIC: Final = "*"
"""Rings every bell: something may have happened unheard."""
