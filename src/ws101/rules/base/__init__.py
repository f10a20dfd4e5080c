"""What the rules stand on: the registry, the pages, the facts of a configuration, and the text of fixes."""
