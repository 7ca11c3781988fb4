"""Pure functions of texts: repair, normal form, refusals, language, personal data, similarity, and encoders to vectors."""
