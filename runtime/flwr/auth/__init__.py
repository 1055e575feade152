"""Who is calling: keys, tokens, certificates, accounts, and which call needs which proof."""
