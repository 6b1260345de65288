"""Web results that give a question away are left out, by address and by text, and counted by rule."""
