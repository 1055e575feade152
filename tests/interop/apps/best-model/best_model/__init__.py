"""best-model: a Flower app."""
