"""What befalls containers in the middle of a run: killed, frozen, unplugged, out of memory."""
