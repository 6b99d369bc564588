"""What only authors use: recording, stamping, and the generated tables."""
