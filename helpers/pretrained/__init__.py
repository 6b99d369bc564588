"""Real networks that arrive as packages: loaders, their classes, and their preprocessing."""
