"""Count tokens exactly, or bound them cheaply."""
