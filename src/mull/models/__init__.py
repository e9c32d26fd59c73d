"""Networks, tokenizer and checkpoints. Knows nothing of problems or search."""
