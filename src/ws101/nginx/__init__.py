"""The model: what nginx does with a request, and which directive decides it."""
