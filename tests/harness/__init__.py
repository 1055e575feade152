"""Real federations on loopback: real processes, real TLS, ours and upstream's programs mixed."""
