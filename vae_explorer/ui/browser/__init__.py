"""The browser code: ES modules and style sheets; `vae_explorer.bundling` puts them together."""
