"""VAE Explorer: explore the latent space of variational autoencoders.

The package knows no screen: only `vae_explorer.ui` imports Streamlit. Data flows one way,
data -> training -> checkpoint -> inference -> page.
"""

__version__ = "0.1.0"
