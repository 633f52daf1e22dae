"""Dependencies: a URL becomes a check."""
