"""Labels: of which text, and by whom.

`words` is the table of words that tell a label of the prompt from one of the completion, and a person from a machine;
`label_names` reads a column's name by it; `binding` gives every column that holds labels its text and its speaker, or the
reason why it is kept apart; `makers` are the forms in which tools for annotation write what people decided; `given` reads the
label of a record.
"""
