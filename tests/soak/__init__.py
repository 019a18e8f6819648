"""A box with a hundred sensors and five brokers in trouble for hours: does anything grow?"""
