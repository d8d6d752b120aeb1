"""Independent libraries, made to compute in float64, for the tests of the diffusion core."""

import warnings

import torch

OBJECTIVES = {"eps": "pred_noise", "x0": "pred_x0", "v": "pred_v"}
PREDICTION_TYPES = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


class Torch64:
    """torch as the oracle sees it: what it casts to float32 stays float64."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)

    def tensor(self, value):  # the sigmoid schedule's end points, in float32 otherwise: 1e-7 off
        return torch.tensor(value, dtype=torch.float64)


def gaussian_diffusion(monkeypatch, diffusion, model=None):
    """denoising_diffusion_pytorch's GaussianDiffusion in float64 for a config.Diffusion; model(x, t) or None."""
    from denoising_diffusion_pytorch import denoising_diffusion_pytorch as lucidrains  # seconds, only where it is needed

    monkeypatch.setattr(lucidrains, "torch", Torch64())

    class Model(torch.nn.Module):
        channels = out_dim = 3
        self_condition = random_or_learned_sinusoidal_cond = False

        def forward(self, x, t, _=None):
            return model(x, t)

    return lucidrains.GaussianDiffusion(
        Model(),
        image_size=4,
        timesteps=diffusion.num_train_timesteps,
        objective=OBJECTIVES[diffusion.objective],
        beta_schedule=diffusion.schedule,
        min_snr_loss_weight=diffusion.min_snr_gamma is not None,
        min_snr_gamma=diffusion.min_snr_gamma or 5,
        auto_normalize=False,
    )


def scheduler(name, coefs, **kwargs):
    """A diffusers scheduler of class `name` whose tables, float32 otherwise, are replaced by ours in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers

        made = getattr(diffusers, name)(num_train_timesteps=coefs.num_train_timesteps, **kwargs)
    made.betas, made.alphas, made.alphas_cumprod = coefs.betas, coefs.alphas, coefs.alphas_cumprod
    return made


def affine_model(x, t):
    """A stand-in for a network: smooth, depends on t, mixes neighbours."""
    scale = (0.5 + 0.3 * torch.cos(t.to(x.dtype) / 7)).view(-1, 1, 1, 1)
    return scale * x + 0.2 * torch.sin(x.roll(1, -1)) - 0.05
