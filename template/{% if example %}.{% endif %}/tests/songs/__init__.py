"""The tests of the example feature."""
