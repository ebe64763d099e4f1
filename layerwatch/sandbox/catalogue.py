"""The models and workflows that the sandbox offers: data only.

Any other well-formed id is taken for something of the studio's own, of which the sandbox knows no input names, so that
real rules can be tried unchanged; only `UNKNOWN_ID` is never found.
"""

from typing import Any

UNKNOWN_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
PRICE_CREATIVE_UNITS = 2.5  # of one output, where the model names no other

_GUIDANCE = {"name": "guidance_files", "type": "array", "required": False, "item_fields": ["file_id", "type", "weight"]}
_PROMPT = {"name": "prompt", "type": "string", "required": True}
_MASK = {"name": "mask", "type": "file", "required": True}
_SECONDS = {"name": "duration_seconds", "type": "number", "required": False}


def _model(number: int, name: str, modality: str, price: float, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_id": f"10000000-0000-4000-8000-{number:012d}",
        "name": name,
        "modality": modality,
        "capabilities": [str(field["name"]) for field in inputs],
        "price_creative_units_per_output": price,
        "inputs": list(inputs),
    }


MODELS: list[dict[str, Any]] = [
    _model(1, "Sandbox Restyle", "image", 2.5, _PROMPT, _GUIDANCE),
    _model(2, "Sandbox Upscale", "image", 4.0, _GUIDANCE),
    _model(3, "Sandbox Image to Video", "video", 20.0, _PROMPT, _GUIDANCE, _SECONDS),
    _model(4, "Sandbox Sound", "audio", 1.0, _PROMPT, _GUIDANCE),
    _model(5, "Sandbox Inpaint", "image", 3.0, _PROMPT, _MASK, _GUIDANCE),
]


def _input(name: str, kind: str, *, required: bool = True, default: object = None) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "required": required,
        "description": "",
        "value_schema": {"type": "string" if kind == "file" else kind},
        "display_name": name.replace("_", " ").capitalize(),
        "default": default,
    }


def _workflow(number: int, name: str, price: float, outputs: int, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "workflow_id": f"20000000-0000-4000-8000-{number:012d}",
        "name": name,
        "description": f"A canned workflow of the sandbox with {outputs} output(s).",
        "created_at": "2026-01-01T00:00:00Z",
        "published_at": "2026-01-02T00:00:00Z",
        "modality": "image",
        "price_creative_units": price,
        "inputs": list(inputs),
        "outputs": [{"name": f"output_{index + 1}", "type": "image"} for index in range(outputs)],
    }


WORKFLOWS: list[dict[str, Any]] = [
    _workflow(1, "Turnaround sheet", 12.0, 4, _input("image", "file"), _input("prompt", "string", required=False)),
    _workflow(2, "Relight", 6.0, 1, _input("image", "file"), _input("light", "string", required=False, default="dusk")),
    _workflow(3, "Texture from concept", 8.0, 2, _input("concept", "file"), _input("material", "string")),
    _workflow(
        4,
        "Clean up a render",
        5.0,
        1,
        _input("beauty", "file"),
        _input("depth", "file", required=False),
        _input("strength", "number", required=False, default=0.5),
        _input("keep_alpha", "boolean", required=False, default=True),
    ),
]


def model(model_id: str) -> dict[str, Any] | None:
    """The model of that id; a nameless one for an id that is not ours, None for `UNKNOWN_ID`."""
    for known in MODELS:
        if known["model_id"] == model_id:
            return known
    unnamed = _model(0, "A model of your own", "image", PRICE_CREATIVE_UNITS, _GUIDANCE)
    return None if model_id == UNKNOWN_ID else unnamed | {"model_id": model_id}


def workflow(workflow_id: str) -> dict[str, Any] | None:
    """The workflow of that id; a nameless one for an id that is not ours, None for `UNKNOWN_ID`."""
    for known in WORKFLOWS:
        if known["workflow_id"] == workflow_id:
            return known
    unnamed = _workflow(0, "A workflow of your own", PRICE_CREATIVE_UNITS, 1)
    return None if workflow_id == UNKNOWN_ID else unnamed | {"workflow_id": workflow_id}
