"""What belongs to lesson 00 alone."""
