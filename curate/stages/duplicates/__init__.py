"""Stages that compare rows: exact, near and semantic duplicates, completions that repeat, texts that fill in a template."""
