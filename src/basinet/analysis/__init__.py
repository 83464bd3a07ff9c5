"""Statistics of restarts and minima: DataFrame to DataFrame; what figures draw and how tables are worded."""
