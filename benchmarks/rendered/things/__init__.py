"""A feature with many tables."""
