"""Labelers that others made: Detoxify, LionGuard, any classifier of transformers, a language model behind an endpoint."""
