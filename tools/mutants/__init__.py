"""Mutated configurations: does ``validate`` say what the real ``nginx -t`` says?"""
