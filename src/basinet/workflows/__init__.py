"""What a person asks for: a sweep, a restart again, verdicts again."""
