"""The service. Each subfolder except `core` is a feature."""
