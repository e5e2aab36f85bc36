"""Development server: the service, and a database that needs no setup."""
