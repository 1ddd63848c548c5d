"""VAE Explorer: put a hand into the latent space of a variational autoencoder.

The package knows no screen: only `vae_explorer.ui` imports Streamlit. Data flows one way,
data -> training -> checkpoint -> inference -> page.
"""

__version__ = "0.1.0"
