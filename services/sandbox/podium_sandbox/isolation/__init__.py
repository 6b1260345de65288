"""Layers that isolate a program: Landlock, seccomp, root file system, limits."""
