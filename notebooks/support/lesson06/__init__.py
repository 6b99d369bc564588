"""What belongs to lesson 06 alone."""
