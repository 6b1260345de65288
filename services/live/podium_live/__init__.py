"""A page that shows runs while they run; it reads their folders and needs nothing of the eval's process."""
