"""Rules of the federation as pure functions and frozen values.  No I/O, no clock, no protobuf."""
