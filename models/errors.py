"""The base of every error that is told to people as one sentence, without a traceback."""


class InklingError(Exception):
    """Its message names the value or file, the limit or fault, and the fix."""
