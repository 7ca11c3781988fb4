"""Bytes of a file into records: what every format shares, whatever the file is.

`archive` (zips), `container` (decompression and encodings), then either `lines` or `texts` and `window` (a file that is not
made of lines), and `records`, what a reader gives; `occurrences` counts records that are the same.
"""
