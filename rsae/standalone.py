"""An SAE of this project with torch and safetensors alone. One file: copy it wherever you need it."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file


class SAE:
    """Activations x [n_tok, d_in] to codes z = encode(x) [n_tok, d_sae] to x_hat = decode(z, x)."""

    def __init__(self, folder):
        self.cfg = json.loads(Path(folder, "cfg.json").read_text(encoding="utf-8"))
        self.w = load_file(f"{folder}/sae_weights.safetensors")
        self.normed = self.cfg["normalize_activations"] != "none"

    def encode(self, x, codes="hard"):
        """``codes="raw"`` leaves out the support rule |z_j| · ‖W_dec,j‖ > eps."""
        x = (x - x.mean(1, True)) / (x.std(1, keepdim=True) + 1e-5) if self.normed else x
        h = (x - self.w["b_dec"] * self.cfg["apply_b_dec_to_input"]) @ self.w["W_enc"] + self.w["b_enc"]
        z = self.gate(self.cfg.get("gate") or self.cfg, h)
        z = self.refine(self.cfg["refinement"], x - self.w["b_dec"], z) if self.cfg.get("refinement") else z
        return z * (abs(z) * self.w["W_dec"].norm(dim=1) > self.cfg.get("support_eps", 0.0) * (codes == "hard"))

    def decode(self, z, x):
        """In the unit of ``x``, which gives mean and std back where the input was normalised."""
        std, mean = (x.std(1, keepdim=True), x.mean(1, True)) if self.normed else (1, 0)
        return (z @ self.w["W_dec"] + self.w["b_dec"]) * std + mean

    def gate(self, cfg, h, at=""):
        """Codes from pre-activations, by the gate that ``cfg`` describes; its tensors' names begin with ``at``."""
        part = {n: self.gate(inner, h, f"{at}{n}.") for n, inner in cfg.items() if n[:5] in ("base", "curve")}
        w = {k.removeprefix(at): v for k, v in self.w.items() if k.startswith(at)}
        return {
            "standard": lambda: h.relu(),
            "jumprelu": lambda: torch.where(h > w["threshold"].relu(), h, 0.0),
            "topk": lambda: torch.zeros_like(h).scatter(1, h.topk(cfg["k"]).indices, 1.0) * h.relu(),
            "rescaled": lambda: part["base"] * w["log_scale"].exp(),
            "supported": lambda: (part["base"] + torch.where(part["base"] != 0, part["curve"] - h, 0.0)).relu(),
            "mixture": lambda: sum(s * part[f"curve_{m}"] for m, s in enumerate(w["logits"].softmax(1).T)),
            "polynomial": lambda: sum(c * h**i for i, c in enumerate(w["coefficients"])),
            "rsae": lambda: self.rational(cfg, w, h / w["c_in"]).to(h.dtype),
        }[cfg["architecture"]]()

    def rational(self, cfg, w, t):  # the paper's: C_out · P(u) / (1 + |A(u)|) at u = t - center, t = h / C_in
        u = (t.clamp(-1, 1) if cfg["tail"] else t).double() - cfg["center"]
        P, A = (sum(c * u**i for i, c in enumerate(w[name])) for name in ("num", "den"))
        return w["c_out"] * (P / (1 + abs(A)) + ((t - 1).relu() if cfg["tail"] else 0))

    def refine(self, cfg, x, z0):
        """(D_S D_Sᵀ + rho) z = D_S x + rho z0, D the decoder's rows, on the support of ``z0``."""
        if cfg["name"] != "resolvent":
            raise ValueError(f"the refinement {cfg['name']!r} is a control arm and is read by the package rsae alone")
        D, rho, z = self.w["W_dec"], self.w["log_rho"].exp(), z0.clone()
        for i, S in enumerate(z0 != 0):
            z[i, S] = torch.linalg.solve(D[S] @ D[S].T + rho[S].diag(), D[S] @ x[i] + rho[S] * z0[i, S])
        if "cut" in cfg:  # the weak ones go, and the rest is solved again
            return self.refine({k: cfg[k] for k in ("name", "rectify")}, x, z0 * (z * D.norm(dim=1) > cfg["cut"]))
        return z.relu() if cfg["rectify"] else z
