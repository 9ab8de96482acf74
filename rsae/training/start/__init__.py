"""What a fine-tune starts from: the teacher with another gate or a refinement, calibrated and not trained."""
