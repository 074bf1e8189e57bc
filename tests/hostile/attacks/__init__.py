"""One attack a file: a docstring, REFERENCE, perhaps ROWS and SETTINGS, and `attack(network)`."""
