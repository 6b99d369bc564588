"""The lessons, and the code that belongs to one of them each (`support`)."""
