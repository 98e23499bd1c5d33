"""What is agreed once and hashed: parameters, features, experiments and the records of each layer."""
