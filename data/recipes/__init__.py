"""How each folder of data/ was made: one module a family, run by `python -m helpers make NAME`."""
