"""What a grid's results say: the analysis, and the page, model card, tables and figures that show it."""
