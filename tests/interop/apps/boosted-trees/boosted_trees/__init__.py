"""boosted-trees: a Flower app."""
