"""The same test with two kinds of isolation."""
