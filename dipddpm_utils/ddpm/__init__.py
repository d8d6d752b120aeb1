"""Notebook 03: the denoising diffusion model itself, as functions of tensors."""
