"""What stands in the viewer's list of layers and over its canvas."""
