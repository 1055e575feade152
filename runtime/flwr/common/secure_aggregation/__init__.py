"""What clients and servers of secure aggregation have in common, under upstream's module names.

The primitives are in ``flwr.crypto``; here are the words of the protocol and older spellings.
"""
