"""The section Learn: anatomy, sibling models under one cursor, the objective."""
