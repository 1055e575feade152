"""lifespan-and-state: a Flower app."""
