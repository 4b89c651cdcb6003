"""Side-by-side measurements, each a script with its command in its first line; none holds a result."""
