"""What must not be found: the rules of class P2, tested as an investigator would look."""
