"""What operators' commands do with the stream: look, follow, rewind, erase."""
