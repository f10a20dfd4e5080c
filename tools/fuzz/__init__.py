"""A seeded mutation loop: no input may raise, hang, or lose a byte."""
