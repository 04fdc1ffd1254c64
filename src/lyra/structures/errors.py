"""The one exception that means "the input is wrong, and here is what to do"."""


class InputError(ValueError):
    """A fault in what the user gave; the message is one line that names the input and the remedy.

    The command line prints it to standard error and leaves with exit code 2.
    """
