"""What belongs to lesson 11 alone."""
