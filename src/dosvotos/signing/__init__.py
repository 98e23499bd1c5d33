"""Keys, signatures as ``ssh-keygen -Y`` makes them, and the home in which trust stands."""
