"""The log: what is written, what is only counted, and what the journal gets of it."""
