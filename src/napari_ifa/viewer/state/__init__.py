"""What is open, without anything on the screen."""
