"""What belongs to lesson 10 alone."""
