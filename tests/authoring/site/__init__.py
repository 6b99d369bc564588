"""The course as pages that anybody can read: `python -m helpers site`."""
