"""Syntax tree to checked network."""
