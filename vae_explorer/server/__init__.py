"""The HTTP routes behind the live views: requests, scheduling, and the trace protocol."""
