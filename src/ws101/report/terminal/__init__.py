"""Reports for people at a terminal: one module a command, each a pure function from what was found to text."""
