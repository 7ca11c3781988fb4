"""Labelers whose weights ship with the project: `head`, `ngram`, `reply`, `tuned`, and a head adapted to a variety."""
