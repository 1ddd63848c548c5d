"""The Streamlit layer: state, widgets, caches, the page frame; a package per section of the app."""
