"""Reports: one pure function for each command and format, from what was found to text."""
