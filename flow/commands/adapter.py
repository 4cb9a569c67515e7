"""``intaglio adapter``: images of LoRA adapters, and the adapter memory of a chip."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flow import adapter_driver, adapters, checkpoint, config, files, serial_port
from flow.config import ModelConfig
from flow.graph import read
from rtl_gen.adapter import image
from rtl_gen.adapter.layout import host_words
from rtl_gen.errors import CheckpointError, ConfigError
from rtl_gen.ir.adapter import AdapterImage
from rtl_gen.ir.integer import IntegerGraph
from rtl_gen.plan import Plan

RESULTS = Path("results")

EPILOG = """\
An image holds the integers of a PEFT LoRA adapter, quantized for one chip and bound to what that
chip computes. `pack` makes it, `load` writes it into a slot of the chip behind a serial port while
the chip may go on generating with another one, `swap` chooses the slot from the next token on.
MODEL is a model whose configuration has a section `adapters` (docs/adapters.md).

examples:
  intaglio adapter pack stories260k_lora shakespeare             one that the model's YAML names
  intaglio adapter pack stories260k_lora lora/x --text x.txt     any other, and text it is for
  intaglio adapter list stories260k_lora                         images, and room for them
  intaglio run stories260k_lora --adapter shakespeare            the integer model with it, no board
  intaglio adapter load stories260k_lora shakespeare --slot 1 --port /dev/ttyUSB0
  intaglio adapter swap stories260k_lora 1 --port /dev/ttyUSB0   0 is the base alone
"""

PACK = """\
Quantizes the adapter for this chip with calibration data of what it is meant for: that of its entry
under adapters.trained, --text or --npz, else the model's own. Prints the loss (or accuracy) of the
base, of the adapter in float and of the adapter on this chip, on data that calibration did not see.

examples:
  intaglio adapter pack stories260k_lora shakespeare
  intaglio adapter pack stories260k_lora lora/x --text x.txt --name x
"""

LIST = """\
Shows the chip's room, the images in results/MODEL/adapters and whether they are for this chip, and
with --port what the chip on the board holds and uses.

examples:
  intaglio adapter list stories260k_lora
  intaglio adapter list stories260k_lora --port /dev/ttyUSB0
"""

LOAD = """\
Writes an image into a slot. The chip may go on generating with another slot; one in use or selected
is refused, and so is an image of another base, by this command and by the chip. The slot is used
once it is swapped to.

examples:
  intaglio adapter load stories260k_lora shakespeare --slot 1 --port /dev/ttyUSB0
"""

SWAP = """\
Chooses the slot for the tokens from the next one on, in the middle of a text, too.

examples:
  intaglio adapter swap stories260k_lora 1 --port /dev/ttyUSB0
  intaglio adapter swap stories260k_lora 0 --port /dev/ttyUSB0   the base alone
"""

MODEL = "name or file in configs/models"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command and its actions."""
    form = argparse.RawDescriptionHelpFormatter
    top = subparsers.add_parser(
        "adapter", help="pack, list, load and swap LoRA adapters", epilog=EPILOG,
        description="Pack, list, load and swap LoRA adapters.", formatter_class=form,
    )  # fmt: skip
    actions = top.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, brief: str, epilog: str) -> argparse.ArgumentParser:
        found: argparse.ArgumentParser = actions.add_parser(
            name, help=brief, description=f"{brief[0].upper()}{brief[1:]}.", epilog=epilog,
            formatter_class=form,
        )  # fmt: skip
        found.add_argument("model", metavar="MODEL", help=MODEL)
        return found

    pack = action("pack", "quantize a PEFT adapter for a chip", PACK)
    pack.add_argument("folder", metavar="FOLDER", type=Path,
                      help="PEFT folder, or a name under adapters.trained")  # fmt: skip
    pack.add_argument("--name", help="of the image (default: the folder's)")
    pack.add_argument("--checkpoint", help="instead of the configured one")
    source = pack.add_mutually_exclusive_group()
    source.add_argument("--text", metavar="PATH", help="text that the adapter is meant for")
    source.add_argument("--npz", metavar="PATH", help="arrays that the adapter is meant for")
    pack.set_defaults(run=_pack)

    listing = action("list", "show images and the chip's room for them", LIST)
    _port(listing, required=False)
    listing.set_defaults(run=_list)

    load = action("load", "write an image into a slot of a chip", LOAD)
    load.add_argument("name", metavar="NAME", help="of the image")
    load.add_argument("--slot", type=int, required=True, help="from 1 on; not the one in use")
    _port(load, required=True)
    load.set_defaults(run=_load)

    swap = action("swap", "choose the slot that a chip uses from the next token on", SWAP)
    swap.add_argument("slot", metavar="SLOT", type=int, help="0 is the base alone")
    _port(swap, required=True)
    swap.set_defaults(run=_swap)


def _port(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--port", type=Path, required=required, help="serial port of the board")
    parser.add_argument("--baud", type=int, default=115200, help="bits per second (%(default)s)")


def model_of(name: str) -> ModelConfig:
    """Configuration of a model with adapters, given as a name or a file.

    Raises
    ------
    ConfigError
        If there is no such model, or its chip has no adapter memory.
    """
    path = Path(name) if Path(name).suffix == ".yaml" else config.model_file(name)
    model = config.load_model(path)
    if not model.adapters.tensors:
        raise ConfigError(
            f"{path}: this model's chip has no adapter memory; name tensors under "
            "adapters.tensors (docs/adapters.md) and build it again, or merge the adapter into "
            "the checkpoint before it is etched"
        )
    return model


def graph_of(model: ModelConfig) -> IntegerGraph:
    """What the model's chip computes, as the quantize stage wrote it."""
    return read(RESULTS / model.name / "quantize/graph.safetensors")


def find(model: ModelConfig, graph: IntegerGraph, name: str, base: Path) -> AdapterImage:
    """Image called `name`; one under ``adapters.trained`` is packed when it is not there.

    Parameters
    ----------
    model : ModelConfig
    graph : IntegerGraph
    name : str
    base : Path
        Checkpoint of the model.

    Raises
    ------
    ConfigError
        If there is no image of that name, and no trained adapter to make it from.
    CheckpointError
        If the image was made for another base.
    """
    path = adapters.image_file(RESULTS, model.name, name)
    known = {item.name for item in model.adapters.trained}
    if path.is_file():
        try:
            return image.load(path, graph)
        except CheckpointError:
            if name not in known:
                raise
    item = adapters.trained(model, name)
    print(f"  packing {name} for {model.name}", file=sys.stderr)
    opened = adapters.open_base(model, base)
    packed, _, _ = adapters.pack_folder(model, opened, graph, Path(item.path), item.data)
    packed = replace(packed, name=name)
    adapters.save(path, packed, graph)
    return packed


def _pack(args: argparse.Namespace) -> int:
    model = model_of(args.model)
    graph = graph_of(model)
    known = {item.name: item for item in model.adapters.trained}
    given = str(args.folder)
    settings, folder = model.data, args.folder
    if not args.folder.is_dir():
        if given not in known:
            raise ConfigError(
                f"{given}: no such folder; expected a PEFT adapter (a folder with "
                "adapter_config.json and adapter_model.safetensors) or a name under "
                f"adapters.trained of {model.name} (known: {', '.join(known) or 'none'})"
            )
        settings, folder = known[given].data, Path(known[given].path)
    if args.text or args.npz:
        kind, path = ("text", args.text) if args.text else ("npz", args.npz)
        settings = replace(settings, kind=kind, path=path)
    named = given if folder != args.folder else folder.resolve().name
    name = named if args.name is None else args.name
    path = adapters.image_file(RESULTS, model.name, name)
    base = adapters.open_base(model, _checkpoint(model, args.checkpoint))
    packed, adapter, found = adapters.pack_folder(model, base, graph, folder, settings)
    packed = replace(packed, name=name)
    adapters.save(path, packed, graph)
    numbers = adapters.measured(base, graph, adapter, packed, found.evaluation)
    print(path)
    for line in _told(numbers):
        print(f"  {line}")
    print(f"  measured on {found.description}")
    return 0


def _told(numbers: Mapping[str, float]) -> list[str]:
    """Quality for people."""
    lines = []
    for measure, unit in (("loss", " nats per token"), ("accuracy", "")):
        if (key := f"quality__{measure}__integer") in numbers:
            base, real = (numbers[f"quality__{measure}__{what}"] for what in ("base", "float"))
            lines.append(f"{measure}{unit}: {base:.4f} of the float base, {real:.4f} with the "
                         f"adapter in float, {numbers[key]:.4f} on this chip")  # fmt: skip
    agreement, kl, steps = (
        numbers[f"quality__{key}"] for key in ("greedy_agreement", "kl", "steps")
    )
    lines.append(f"chip and float with the adapter: greedy agreement {agreement:.1%}, KL {kl:.4f} "
                 f"nats, {steps:.0f} steps")  # fmt: skip
    return lines


def _list(args: argparse.Namespace) -> int:
    model = model_of(args.model)
    graph = graph_of(model)
    manifest = _manifest(model)
    room = manifest["adapters"]
    print(f"{model.name}: {room['slots']} slots of {room['host_words']:,} words for rank up to "
          f"{room['rank']}, {room['bits']:,} bits in all, base {room['base'][:16]}")  # fmt: skip
    folder = adapters.image_file(RESULTS, model.name, "x").parent
    packed_names = set()
    for path in sorted(folder.glob(f"*{image.SUFFIX}")):
        name = path.name.removesuffix(image.SUFFIX)
        packed_names.add(name)
        try:
            packed = image.load(path, graph)
            print(f"  {name}: rank {packed.origin.get('rank', '?')}, for this base")
        except CheckpointError as error:
            print(f"  {name}: {error}")
    for item in model.adapters.trained:
        if item.name not in packed_names:
            print(f"  {item.name}: not packed yet, from {item.path}")
    if args.port is not None:
        with serial_port.opened(args.port, args.baud) as stream:
            bus = adapter_driver.SerialBus(stream)
            found = adapter_driver.status(bus)
            print(f"  chip: slot {found.active} in use, {found.selected} selected, loaded: "
                  f"{adapter_driver.valid_slots(bus) or 'none'}")  # fmt: skip
    return 0


def _load(args: argparse.Namespace) -> int:
    model = model_of(args.model)
    graph = graph_of(model)
    packed = find(model, graph, args.name, _checkpoint(model))
    words = host_words(graph, Plan.told(_manifest(model)["plan"]), packed)
    with serial_port.opened(args.port, args.baud) as stream:
        adapter_driver.load(adapter_driver.SerialBus(stream), args.slot, packed.base, words)
    print(f"{args.name} is in slot {args.slot}; `intaglio adapter swap {args.model} {args.slot} "
          f"--port {args.port}` uses it")  # fmt: skip
    return 0


def _swap(args: argparse.Namespace) -> int:
    model_of(args.model)
    with serial_port.opened(args.port, args.baud) as stream:
        adapter_driver.select(adapter_driver.SerialBus(stream), args.slot)
    print(f"slot {args.slot} from the next token on")
    return 0


def _checkpoint(model: ModelConfig, given: str | None = None) -> Path:
    return checkpoint.locate(given or config.read_runs().checkpoint_of(model))


def _manifest(model: ModelConfig) -> Any:
    path = RESULTS / model.name / "rtl/manifest.json"
    manifest = files.read_json(path)
    if "adapters" not in manifest:
        raise ConfigError(
            f"{path}: this chip has no adapter memory; name tensors under adapters.tensors in the "
            "model's configuration and build it again"
        )
    return manifest
