"""Does anything see the future? Perturbations of a user's own history that prove it, feature by feature."""
