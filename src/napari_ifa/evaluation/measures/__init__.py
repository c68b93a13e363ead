"""Numbers that say how well maps and principal features fit the answers."""
