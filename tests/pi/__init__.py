"""``make pi``: an emulated Pi that is installed, unplugged, and cut off from power."""
