"""The documentation: pages made from the rules and the list of causes, and the site (``make docs``)."""
