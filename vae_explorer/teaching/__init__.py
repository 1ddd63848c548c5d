"""Numbers behind the pages that explain the ELBO, and the scenes of the lecture."""
