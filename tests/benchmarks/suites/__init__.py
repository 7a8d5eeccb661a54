"""What is measured. A suite is a function that measures and returns what it found, in Markdown."""
