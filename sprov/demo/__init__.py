"""The main job: programs that are captured, and the command that runs them."""
