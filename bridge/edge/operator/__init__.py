"""What operators' commands do with the stream: look, follow, replay, rewind, erase."""
