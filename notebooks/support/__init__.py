"""One folder a lesson: its exercise checks, its own figures, its activity."""
