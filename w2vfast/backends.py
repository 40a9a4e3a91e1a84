"""Which backend runs: what each needs, the choice of `auto`, and the reason for it in one line."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels.contract import Job, Step, Unsupported

NAMES = ("triton", "native", "torch")
_MODULES = {name: f"w2vfast.kernels.{name}.step" for name in NAMES}
# Options that a backend does not have, None where they are not given.
_LACKS = {"triton": ("bits", "buckets", "teacher")}
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA on Linux, a GPU under WSL, AMD


NEEDS = {
    "float32": "all backends have it",
    "tf32": "tf32 is triton's",
    "bfloat16": "bfloat16 is native's, for negative-sampling and nce, on processors with AVX512-BF16 (AMD Zen 4 and "
    "later; Intel Cooper Lake, Sapphire Rapids and later Xeons)",
}


@dataclass(frozen=True)
class Choice:
    """A backend that can run here, the device it runs on, and why it was taken."""

    name: str
    device: str
    reason: str
    precision: str = "float32"  # of products


def module_of(name: str) -> Any:
    """Return a backend's module `step` (kernels/contract.py). Raises ImportError where it cannot be imported."""
    return importlib.import_module(_MODULES[name])


def unavailable_reason(name: str) -> str | None:
    """Return why a backend cannot run on this machine, None where it can."""
    try:
        module = module_of(name)
    except ModuleNotFoundError as error:
        return f"the Python package {error.name!r} is not installed"
    return cast("str | None", module.unavailable_reason())


def objectives(name: str) -> tuple[str, ...]:
    """Return the objectives that a backend has; none where it cannot be imported."""
    try:
        return tuple(module_of(name).objectives())
    except ImportError:
        return ()


def precisions(name: str, objective: str) -> tuple[str, ...]:
    """Return what a backend can compute an objective's products in on this machine, the fastest first."""
    return tuple(module_of(name).precisions(objective))


def short_tiles(choice: Choice) -> bool:
    """Return whether a choice's device has four tiles of 16 tokens in flight where it has one and a half of 32."""
    return choice.name == "triton" and bool(module_of("triton").short_tiles(choice.device))


def build_of(name: str) -> str:
    """Return what made a backend's results what they are, as far as it can be told: build and versions."""
    if name == "native":
        native = module_of(name)
        return f"{native.runnable_builds()[-1]}, {native.compiler()}"
    import torch

    return f"torch {torch.__version__}"


def choose(config: Config) -> Choice:
    """Return the backend for a run.

    auto takes torch, on the device it would have taken, for an objective or option that its choice lacks. Raises
    InputError if the backend asked for, or its device, cannot be had, or if it lacks them.
    """
    choice = _choose(config)
    lacks = _lacks(choice, config)
    if config.backend == "auto" and lacks is not None:
        choice = Choice("torch", _torch_device(choice.device), f"{choice.reason}, but {choice.name} has no {lacks}")
    require(choice, config)
    return replace(choice, precision=_precision(choice, config))


def _precision(choice: Choice, config: Config) -> str:
    able = precisions(choice.name, config.objective)
    if config.precision == "auto":
        return able[0] if config.bits is None else "float32"  # levels were measured in float32
    if config.precision not in able:
        raise InputError(
            f"the {choice.name} backend has no {config.precision} for {config.objective} here, only "
            f"{' and '.join(able)}: {NEEDS[config.precision]}; drop precision for the fastest that there is"
        )
    return config.precision


def require(choice: Choice, config: Config) -> None:
    """Raise InputError, which names the remedy, if a backend lacks a config's objective or an option."""
    require_objective(choice, config.objective)
    lacks = _lacks(choice, config)
    if lacks is not None:
        able = "torch" if lacks == "parallel dimension" else "native or torch"
        raise InputError(f"the {choice.name} backend ({choice.reason}) has no {lacks}: take --backend {able}")


def _lacks(choice: Choice, config: Config) -> str | None:
    """Return what of a config a backend does not have, None where it has all."""
    if config.objective not in objectives(choice.name):
        return config.objective
    if config.parallel == "dimension" and choice.name != "torch":
        return "parallel dimension"
    return next((name for name in _LACKS.get(choice.name, ()) if getattr(config, name) is not None), None)


def require_objective(choice: Choice, objective: str) -> None:
    """Raise InputError, which names those that have it, if a backend lacks an objective."""
    if objective not in objectives(choice.name):
        able = [name for name in NAMES if objective in objectives(name) and unavailable_reason(name) is None]
        remedy = f"take --backend {' or '.join(able)}" if able else "no backend that can run here has it"
        raise InputError(f"the {choice.name} backend ({choice.reason}) has no objective {objective}: {remedy}")


def _choose(config: Config) -> Choice:
    device = "cpu" if config.deterministic else config.device
    match config.backend, _kind(device):
        case "auto", None:
            return _automatic()
        case "auto", "cuda":
            reason = unavailable_reason("triton")
            if reason is None:
                return Choice("triton", _torch_device(device), "a capable GPU is present")
            return Choice("torch", _torch_device(device), f"asked for {device}; triton cannot run: {reason}")
        case "auto", "mps":
            return Choice("torch", _torch_device("mps"), "asked for mps")
        case "auto", "cpu":
            return _on_cpu("deterministic runs on the CPU" if config.deterministic else "asked for the CPU")
        case "torch", _:
            _require("torch")
            return Choice("torch", _torch_device(device), "asked for")
        case name, kind:
            home = "cuda" if name == "triton" else "cpu"
            if kind not in (None, home):
                raise InputError(f"the {name} backend runs on {home}, not on {device}: drop --device or take torch")
            _require(name)
            return Choice(name, home if device is None or kind == "cpu" else _torch_device(device), "asked for")


def _kind(device: str | None) -> str | None:
    """Return a device without its number."""
    return None if device is None else device.partition(":")[0]


def _automatic() -> Choice:
    # torch and triton take seconds and 200 MB to import: they are asked only where a GPU's driver shows itself.
    if not any(Path(device).exists() for device in _GPU_DEVICES):
        return _on_cpu("no GPU found")
    reason = unavailable_reason("triton")
    if reason is None:
        return Choice("triton", "cuda", "a capable GPU is present")
    if "cuda" in _torch_devices():
        return Choice("torch", "cuda", f"a GPU is present, but triton cannot run: {reason}")
    return _on_cpu(f"triton cannot run: {reason}")


def _on_cpu(why: str) -> Choice:
    reason = unavailable_reason("native")
    if reason is None:
        return Choice("native", "cpu", f"{why}; the native kernels run here")
    _require("torch")
    return Choice("torch", "cpu", f"{why}; WARNING: native kernels missing, training is about 7 times slower: {reason}")


def _require(name: str) -> None:
    reason = unavailable_reason(name)
    if reason is not None:
        raise InputError(f"backend {name} cannot run: {reason}")


def _torch_devices() -> list[str]:
    if unavailable_reason("torch") is not None:
        return []
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, here in present.items() if here]


def _torch_device(wanted: str | None) -> str:
    devices = _torch_devices()
    if wanted is None:
        return devices[0] if devices[0] == "cuda" else "cpu"
    kind, _, number = wanted.partition(":")
    if kind not in devices:
        raise InputError(f"device {wanted} is not present: PyTorch sees {', '.join(devices)}")
    if number:
        import torch

        count = torch.cuda.device_count()
        if int(number) >= count:
            raise InputError(f"device {wanted} is not present: PyTorch sees {count} GPUs, the first is cuda:0")
    return wanted


def threads(choice: Choice, config: Config) -> int:
    """Return the threads that a backend gets: one for a deterministic run on torch, whose sums depend on them."""
    return 1 if config.deterministic and choice.name == "torch" else config.workers


def create_step(
    choice: Choice,
    job: Job,
    w_in: NDArray[np.float32],
    w_out: NDArray[np.float32],
    workers: int,
    sum_scores: Callable[[Any], None] | None = None,
) -> Step:
    """Return the chosen backend's step on a job and its tables; `sum_scores` is torch's alone.

    Raises InputError if memory is too small, or for what the backend or its device cannot do.
    """
    options: dict[str, Any] = {"device": choice.device, "workers": workers, "precision": choice.precision}
    if sum_scores is not None:
        options["sum_scores"] = sum_scores
    try:
        return cast("Step", module_of(choice.name).create_step(job, w_in, w_out, **options))
    except Unsupported as error:
        raise InputError(str(error)) from error
    except MemoryError as error:
        raise InputError(f"the {choice.name} backend has too little memory: {error}") from error
