"""Groups of permutations with signs: what maps a table of numbers to itself, whatever the rows stand for."""
