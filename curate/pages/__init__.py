"""Pages that ask nothing of the network: `html` for markup, `charts` for pictures, `tables` for text and Markdown."""
