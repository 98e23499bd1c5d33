"""Read the tables people have: bars and macro values in any usual file, each cell in one way or not at all.

`containers` unpacks a file, `grids` gives its cells, `headers` finds the columns, `numbers` and `stamps` read
them, `bars` and `macro` put a table together; `schemas` states what a table is. A file that can be read in
two ways is refused with both; a row that cannot be read is put aside with its line and reason.
"""
