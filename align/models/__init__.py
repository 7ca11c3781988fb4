"""Models: what a recipe may start from (`table.MODELS`), adapters, sampling, likelihoods, and export for other tools."""
