"""failing-nodes: a Flower app."""
