"""One condition: its settings, checked, and what they stand for."""
