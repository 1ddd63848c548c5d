"""Speed, memory, and the README's animation, each a command."""
