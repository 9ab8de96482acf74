"""How the committed host and teachers were made; the main job never runs this."""
