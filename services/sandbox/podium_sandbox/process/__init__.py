"""The processes behind a program: zygote, supervisor, reaper."""
