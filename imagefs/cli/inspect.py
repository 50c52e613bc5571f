"""`imagefs inspect`."""

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.tree import Tree

from imagefs.browse.listing import printable_text
from imagefs.cli.context import Settings, pass_settings
from imagefs.cli.tables import label, print_tree
from imagefs.oci import configuration
from imagefs.oci.model import Descriptor
from imagefs.store.status import ImageStatus, status
from imagefs.store.structure import LayerPart, Part, structure

_SHOWN = ("Entrypoint", "Cmd", "User", "WorkingDir", "ExposedPorts", "Volumes", "StopSignal", "Env", "Labels")
"""What the tree tells of how containers are to be run."""


@click.command("inspect")
@click.argument("image")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print all there is to know, as JSON: name, mediaType, digest, size, dangling, labels, complete, present, "
    "needed, damage, platforms, keptPlatforms and manifests. Of these each has mediaType, digest, size, present, kept "
    "and complete, and what there is of damage, manifests, attestation, platform, artifactType, config, "
    "configDescriptor and layers; a layer of an image also diffID, chainID and unpacked.",
)
@pass_settings
def inspect_command(settings: Settings, image: str, as_json: bool) -> None:
    """Print what an image consists of: its manifests, configurations and layers, as a tree.

    What is not in the store is told as absent.
    """
    with settings.open() as store:
        record = store.find_image(image)
        state = status(store.blobs, record, store.catalog.labels(record.name))
        whole = structure(store, record)
    if as_json:
        click.echo(json.dumps(_as_json(state, whole), indent=2))
    else:
        print_tree(_tree(state, whole))


# -- as a tree


def _tree(state: ImageStatus, whole: Part) -> Tree:
    record = state.record
    tree = Tree(label("<none>" if record.dangling else printable_text(record.name)))
    for key, value in state.labels.items():
        tree.add(label(printable_text(f"label {key}={value}")))
    if record.platforms is not None:
        tree.add(label(f"kept for {', '.join(record.platforms)}"))
    if state.tally is not None:
        tree.add(label(str(state.tally)))
    _add(tree, whole)
    return tree


def _add(tree: Tree, part: Part) -> None:
    notes = [part.platform] if part.platform is not None else []
    if part.attestation:
        notes.append("attestation")
    if part.artifact_type is not None:
        notes.append(f"artifact {part.artifact_type}")
    if part.damage is not None:
        notes.append(f"damaged: {part.damage}")
    elif not part.present:
        notes.append("absent")
    elif part.manifest is not None:
        notes.append("complete" if part.complete else "incomplete")
    if not part.kept:
        notes.append("not kept")
    branch = tree.add(_line(part.descriptor, *notes))
    for child in part.children or ():
        _add(branch, child)
    if part.manifest is not None:
        config = branch.add(_line(part.manifest.manifest.config, *([] if part.config_present else ["absent"])))
        for line in _configured(part.config):
            config.add(label(printable_text(line)))
        for layer in part.layers:
            _add_layer(branch, layer)


def _add_layer(tree: Tree, layer: LayerPart) -> None:
    notes = [] if layer.present else ["absent"]
    if layer.unpacked:
        notes.append("unpacked")
    elif layer.present and layer.diff_id is not None:
        notes.append("not unpacked")
    branch = tree.add(_line(layer.descriptor, *notes))
    if layer.diff_id is not None:
        branch.add(label(f"diff ID {layer.diff_id}"))
        branch.add(label(f"chain ID {layer.chain_id}"))


def _line(descriptor: Descriptor, *notes: str) -> Any:  # noqa: ANN401  rich's text
    told = ", ".join((f"{descriptor.size} bytes", *notes))
    return label(printable_text(f"{descriptor.media_type} {descriptor.digest} ({told})"))


def _configured(values: Any) -> Iterator[str]:  # noqa: ANN401  plain JSON values
    if isinstance(values, dict) and values.get("created"):
        yield f"created {_value(values['created'])}"
    execution = configuration.execution(values)
    for key in _SHOWN:
        value = execution.get(key)
        if key == "Env" and isinstance(value, list):
            yield from (f"Env {_value(each)}" for each in value)
        elif key == "Labels" and isinstance(value, dict):
            yield from (f"Label {name}={_value(each)}" for name, each in value.items())
        elif key in ("ExposedPorts", "Volumes") and isinstance(value, dict):
            yield f"{key} {', '.join(value)}"
        elif value:
            yield f"{key} {_value(value)}"


def _value(value: Any) -> str:  # noqa: ANN401  any JSON value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -- as JSON


def _as_json(state: ImageStatus, whole: Part) -> dict[str, Any]:
    record, tally = state.record, state.tally
    manifests = whole.children if whole.is_index else (whole,) if whole.is_manifest else ()
    return {
        "name": record.name,
        **_descriptor(record.target),
        "dangling": record.dangling,
        "labels": dict(state.labels),
        "complete": state.complete,
        "present": tally.present if tally is not None else None,
        "needed": tally.needed if tally is not None else None,
        "damage": state.damage,
        "platforms": state.platforms,
        "keptPlatforms": list(record.platforms) if record.platforms is not None else None,
        "manifests": [_part_as_json(part) for part in manifests or ()],
    }


def _part_as_json(part: Part) -> dict[str, Any]:
    described = {**_descriptor(part.descriptor), "present": part.present, "kept": part.kept, "complete": part.complete}
    if part.damage is not None:
        described["damage"] = part.damage
    if part.is_index:
        return {**described, "manifests": [_part_as_json(child) for child in part.children or ()]}
    described["attestation"] = part.attestation
    if part.platform is not None:
        described["platform"] = part.platform
    if part.artifact_type is not None:
        described["artifactType"] = part.artifact_type
    if part.manifest is not None:
        if part.manifest.config is not None:
            described["config"] = part.config
        described["configDescriptor"] = {
            **_descriptor(part.manifest.manifest.config), "present": part.config_present,
        }  # fmt: skip
        described["layers"] = [_layer_as_json(layer) for layer in part.layers]
    return described


def _layer_as_json(layer: LayerPart) -> dict[str, Any]:
    described = {**_descriptor(layer.descriptor), "present": layer.present}
    if layer.diff_id is not None:
        described |= {"diffID": layer.diff_id, "chainID": layer.chain_id, "unpacked": layer.unpacked}
    return described


def _descriptor(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


COMMANDS = [inspect_command]
