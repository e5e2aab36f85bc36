"""Example feature: a song catalog."""
