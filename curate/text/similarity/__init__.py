"""How alike texts are: shingles and their sets, an exact join of sets, cosines, what crowds share, which copy leads."""
