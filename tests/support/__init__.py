"""Shared test helpers: combinations, renders, and programs run in rendered projects."""
