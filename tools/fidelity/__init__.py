"""The proof of the model: configurations and requests drawn at random, answered by a real nginx and by the model.

``python -m tools.fidelity --pairs 1000 --seed 7`` compares what both say: the kind of outcome, status, Location, which
backend, the exact bytes that reach it, tunnel or not, and the text of an answer that nginx gives itself.
"""
