"""Song catalog, written with SQLModel."""
