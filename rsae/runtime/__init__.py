"""What every stage stands on, whatever it computes: files, checkpoints, fingerprints, devices, products."""
