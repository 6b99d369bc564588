"""What everything stands on: set-up, stored files, errors, Colab, statistics. Imports nothing above itself."""
