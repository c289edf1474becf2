"""Runtimes: how an agent starts, adopts, watches and stops one ComfyUI instance.

`contract` says what a runtime promises, `specs` what an operator may set, `factory.build` makes the one from the other.
Nothing is imported here: `launch` is started as a program of its own for each child and must load fast.
"""
