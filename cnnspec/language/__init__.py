"""Text to syntax tree. Knows no layer."""
