"""Raw files of any shape into rows of one: bytes -> records -> rows.

1. `sources` lists a folder and says what the recipe says of each file.
2. `files` and `formats` turn bytes into records: columns by name, whatever the file is. What is none goes to quarantine.
3. `mining` turns records into rows of `schema.ROW`: it works out which column plays which role, and which kind of record it is.
4. `ingest` leads it all, file by file (`ingest_file`), and gives an `ingested` result: rows in Parquet files (`row_writer`) and
   a receipt for each file (`receipts`), by which a later build need not read it again. What was forgotten (`tombstones`) is
   skipped.

`inspect` shows the same of the first records of each file (`preview`) and writes nothing.
"""
