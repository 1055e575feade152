"""The SuperLink on a PostgreSQL of ours, in containers."""
