"""The command `prewired`, which creates services from the template and updates them."""
