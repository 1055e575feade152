"""strategies-in-turn: a Flower app."""
