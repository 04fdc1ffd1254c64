"""Protocols: which scenes, which views, which table."""
