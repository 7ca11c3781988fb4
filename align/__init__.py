"""Preference data to a safer model, with confidence intervals."""
