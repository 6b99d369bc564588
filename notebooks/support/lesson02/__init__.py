"""What belongs to lesson 02 alone."""
