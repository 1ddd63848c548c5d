"""Operations on latent vectors: paths, planes, statistics, and priors fitted to encodings."""
