"""models.toml and models.lock: what a project wants, and exactly what that is, byte for byte."""
