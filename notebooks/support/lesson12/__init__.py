"""What belongs to lesson 12 alone: its checks, its stories, its figures."""
