"""Which language a text is in: general detectors, and the words that tell Malay from Indonesian."""
