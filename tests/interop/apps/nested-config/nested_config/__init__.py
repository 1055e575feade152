"""nested-config: a Flower app."""
