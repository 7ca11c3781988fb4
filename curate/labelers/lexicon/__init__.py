"""The labeler that knows rude words: its lists, how it reads through disguised spelling, how it scores."""
