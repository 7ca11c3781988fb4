"""Engines run stages over parts; today one, in this process."""
