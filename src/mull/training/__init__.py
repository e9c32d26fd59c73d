"""Makes models from nothing: rows of traces on the fly, and the loop that learns them."""
