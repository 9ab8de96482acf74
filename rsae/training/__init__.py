"""From a teacher to a trained SAE: a start without training, objectives, the fine-tune, trials of settings."""
