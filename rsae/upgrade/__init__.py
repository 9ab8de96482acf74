"""Copy a teacher, calibrate its new gate, fine-tune; and the control arms beside it."""
