"""mods-in-a-row: a Flower app."""
