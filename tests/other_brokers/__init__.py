"""Brokers of other makes, alone and as a cluster: the link promises the same to each of them."""
