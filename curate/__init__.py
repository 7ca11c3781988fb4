"""Raw text to paired and unpaired preference data."""

__version__ = "0.1.0"
