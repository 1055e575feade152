"""A researcher's side of a SuperLink: which one, the way to it, submitting a run, following it.

``cli`` and ``sdk`` are two faces of it.  Nothing here prints, parses a command line or ends the
process.
"""
