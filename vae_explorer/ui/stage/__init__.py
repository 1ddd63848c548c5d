"""The stage: the component that draws live views, and what each view is given."""
