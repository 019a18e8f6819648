"""As many links as the ring has cities for, most of them in trouble."""
