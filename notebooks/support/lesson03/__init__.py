"""What belongs to lesson 03 alone."""
