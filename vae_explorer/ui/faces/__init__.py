"""The section Faces: photos of the session, morphs, edits, latent arithmetic."""
