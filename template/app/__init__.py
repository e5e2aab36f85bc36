"""The service: each folder is a feature, except `core`."""
