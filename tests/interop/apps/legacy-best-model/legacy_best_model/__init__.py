"""legacy-best-model: a Flower app."""
