"""Speed: ws101 beside its peers, on the same files, in the same run."""
