"""``encode_x`` and ``decode_x`` pairs: total, pure, one file per noun."""
