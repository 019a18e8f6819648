"""The pages for people: links lead somewhere, examples work, claims have tests."""
