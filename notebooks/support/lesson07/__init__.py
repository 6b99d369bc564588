"""What belongs to lesson 07 alone."""
