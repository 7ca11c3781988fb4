"""Personal data in texts: patterns and checksums that find it, places that are none, pseudonyms in its place."""
