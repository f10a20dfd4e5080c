"""Pages: one self-contained file without scripts, for people who were not there."""
