"""The only part that knows Streamlit: caches, state, controls, and the frame of every page."""
