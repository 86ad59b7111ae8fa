"""The six stages of CRM technology as tested functions."""

__version__ = "0.1.0"
