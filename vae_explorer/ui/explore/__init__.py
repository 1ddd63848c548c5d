"""The section Explore: latent map, overview, decoded grid, samples, dimensions."""
