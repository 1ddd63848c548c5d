"""The stage: the component of the live views, the views that pages share, sliders and tiles."""
