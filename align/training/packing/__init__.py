"""Rows in one forward pass: end to end where that is exact for the model (`pack`), side by side elsewhere (`padded`)."""
