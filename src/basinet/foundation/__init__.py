"""What everything else may use: errors, random numbers by address, threads, a stopwatch, the schema of tables."""
