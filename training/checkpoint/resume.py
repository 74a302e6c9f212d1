"""What a resumed run shares with its checkpoint, and what it takes from its own config instead."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import TrainingError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from torch.optim import Optimizer

FINGERPRINTS = "fingerprints"
"""Field of a checkpoint's config: SHA-256 of the data and of each frozen part, by name."""


def list_changes(
    saved: Mapping[str, Any], config: "DataclassInstance", fixed: Collection[str], checkpoint: Path
) -> list[str]:
    """Return the changed fields of the config since the checkpoint, as `name old -> new`.

    A field that the checkpoint lacks, from an earlier version, had its default. Raises TrainingError for a changed
    field of `fixed`, which also names tables of fields.
    """
    before = _flatten(dataclasses.asdict(type(config)())) | _flatten(saved)
    changes = []
    for name, value in _flatten(dataclasses.asdict(config)).items():
        if before[name] == value:
            continue
        if name.partition(".")[0] in fixed:
            raise TrainingError(
                f"{checkpoint} was written with {name} {before[name]}, and this run has {value}; "
                "use the same value, another --out, or --resume none"
            )
        changes.append(f"{name} {before[name]} -> {value}")
    return changes


def check_fingerprints(saved: Mapping[str, Any], fingerprints: Mapping[str, str], checkpoint: Path) -> None:
    """Raise TrainingError if the checkpoint was written with other data or another frozen part than `fingerprints`.

    Checkpoints of earlier versions have no fingerprints and are not checked.
    """
    before = saved.get(FINGERPRINTS, {})
    for name, sha256 in fingerprints.items():
        if name in before and before[name] != sha256:
            raise TrainingError(
                f"{checkpoint} was written with another {name} (SHA-256 {before[name][:12]}, now {sha256[:12]}); "
                f"restore that {name}, or use another --out or --resume none"
            )


def restore_optimizer(optimizer: "Optimizer", saved: Mapping[str, Any]) -> None:
    """Restore an optimizer's moments. Its hyperparameters stay those that it was created with."""
    optimizer.load_state_dict({"state": saved["state"], "param_groups": optimizer.state_dict()["param_groups"]})


def _flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of nested tables under names such as `model.variant`."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": item for inner, item in _flatten(value).items()}
        else:
            flat[name] = value
    return flat
