"""What a restart passes through: descend, polish, certify; and merge, which needs them all."""
