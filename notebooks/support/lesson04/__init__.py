"""What belongs to lesson 04 alone."""
