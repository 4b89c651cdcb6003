"""Any image -> pixels -> probabilities. The page and `python -m inference` go through the same code."""
