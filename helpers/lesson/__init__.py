"""What every lesson needs: claims, exercise checks, figures, widgets, and a class's answers."""
