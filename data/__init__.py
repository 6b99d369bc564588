"""What the project made: stored models and tables, and the recipes that made them."""
