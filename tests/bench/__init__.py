"""The benchmark kit: ours and upstream side by side.  Nothing here asserts a time."""
