"""Trains, evaluates and exports the networks. The only room that imports torch; `python -m training --help`."""
