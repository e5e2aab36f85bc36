"""The same test with two ways to keep tests apart."""
