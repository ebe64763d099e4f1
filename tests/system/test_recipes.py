"""The recipes of the README do what they say: taken from there as they are, but for ids, paths and where Layer is."""

import json
import re
from pathlib import Path
from typing import Any

from layerwatch.samples import sample
from layerwatch.sandbox.catalogue import MODELS, WORKFLOWS
from tests.system.conftest import TOKEN, Site

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
RECIPE = re.compile(r"^### Recipe: (?P<name>.+)\n(?:(?!#).*\n)*?```toml\n(?P<config>[^`]+)```$", re.MULTILINE)
RECIPES = {found["name"]: found["config"] for found in RECIPE.finditer(README)}
RESTYLE, INPAINT, WORKFLOW = "restyle every image", "inpaint with image and mask", "a workflow on render output"


def cook(site: Site, name: str, **ids: str) -> None:
    """Make the recipe the site's configuration; whatever is replaced must be in it once."""
    token = site.home / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    config = RECIPES[name]
    for key, value in {"workspace_id": site.sandbox.workspace_id, **ids}.items():
        config = once(config, rf'{key} = "[0-]+"', f'{key} = "{value}"')
    config = once(config, r'token_file = ".+"', f'token_file = "{token}"')
    site.config.write_text(once(config, r'^path = "/srv/.+"', f'path = "{site.drop}"'))


def once(text: str, pattern: str, replacement: str) -> str:
    text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    assert count == 1, f"{pattern} is there {count} times"
    return text


def run(site: Site) -> None:
    where = {"LAYERWATCH_API__BASE_URL": site.sandbox.base_url, "LAYERWATCH_LEDGER__PATH": str(site.ledger)}
    done = site.once(LAYER_TOKEN="", **where)
    assert done.returncode == 0, done.stderr


def drop(site: Site, *names: str) -> None:
    for name in names:
        path = site.drop / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sample(path.suffix[1:], sum(map(ord, name)), 20_000))


def file_ids(site: Site) -> dict[str, str]:
    return {row["path"].rpartition("/")[2]: row["file_id"] for row in site.rows() if row["file_id"]}


def fired(site: Site) -> list[dict[str, Any]]:
    """The bodies that were paid for."""
    return [made.body for made in site.sandbox.generations]


def results(directory: Path) -> list[str]:
    """Every result has its provenance beside it."""
    names = sorted(path.name for path in directory.iterdir())
    assert [name for name in names if name.endswith(".layer.json")] == [f"{name}.layer.json" for name in names[::2]]
    return names[::2]


def test_there_are_three() -> None:
    assert list(RECIPES) == [RESTYLE, INPAINT, WORKFLOW]


def test_restyle_every_image(site: Site) -> None:
    model = MODELS[0]["model_id"]
    cook(site, RESTYLE, model_id=model)
    drop(site, "a.png", "b.jpg", "c.webp")
    (site.drop / "notes.txt").write_text("no image")
    run(site)
    ids = file_ids(site)
    assert ids.keys() == {"a.png", "b.jpg", "c.webp"}
    sent = {body["guidance_files"][0]["file_id"]: body for body in fired(site)}
    for name, file_id in ids.items():
        body = dict(sent.pop(file_id))
        assert re.fullmatch(rf"layerwatch g[123] {name}", body.pop("session_name"))
        assert body == {
            "model_id": model,
            "prompt": "oil painting, thick brush strokes",
            "batch_size": 1,
            "guidance_files": [{"file_id": file_id, "type": "INIT"}],
        }
    assert not sent
    assert results(site.drop / "generated") == ["a.oil.png", "b.oil.png", "c.oil.png"]
    run(site)
    assert len(fired(site)) == 3


def test_inpaint_with_image_and_mask(site: Site) -> None:
    model = MODELS[4]["model_id"]
    cook(site, INPAINT, model_id=model)
    drop(site, "chair_image.png")
    run(site)
    assert [row["status"] for row in site.ask("SELECT status FROM generations")] == ["waiting"]
    (site.drop / "chair_image.txt").write_text("a red cushion\n")
    run(site)
    assert fired(site) == []
    drop(site, "chair_mask.png")
    run(site)
    ids = file_ids(site)
    assert fired(site) == [
        {
            "model_id": model,
            "mask": ids["chair_mask.png"],
            "batch_size": 1,
            "guidance_files": [{"file_id": ids["chair_image.png"], "type": "INIT"}],
            "prompt": "a red cushion",
            "session_name": "layerwatch g1 chair_image.png",
        }
    ]
    assert results(site.drop / "inpainted") == ["chair_image.inpaint.png"]
    told = json.loads((site.drop / "inpainted" / "chair_image.inpaint.png.layer.json").read_text())
    assert [each["role"] for each in told["inputs"]] == ["input", "mask"]
    assert told["price_creative_units"] == 3.0


def test_a_workflow_on_render_output(site: Site) -> None:
    workflow = WORKFLOWS[0]["workflow_id"]
    cook(site, WORKFLOW, workflow_id=workflow)
    script = site.home / "frame-done"
    script.write_text(f'#!/bin/sh\necho "$LAYERWATCH_EVENT $LAYERWATCH_PATH $LAYERWATCH_PRICE" >> {site.home}/told\n')
    script.chmod(0o755)
    site.config.write_text(once(site.config.read_text(), r'command = \["/usr/.+"\]', f'command = ["{script}"]'))
    frames = ["sh010/sh010.0001.png", "sh010/sh010.0002.png"]
    drop(site, *frames)
    run(site)
    ids = file_ids(site)
    assert {made.target for made in site.sandbox.generations} == {workflow}
    inputs = sorted((body["inputs"] for body in fired(site)), key=lambda each: str(each["prompt"]))
    assert inputs == [
        {"image": ids["sh010.0001.png"], "prompt": "character sheet of sh010, frame 0001"},
        {"image": ids["sh010.0002.png"], "prompt": "character sheet of sh010, frame 0002"},
    ]
    assert results(site.drop / "turnarounds" / "sh010") == [
        f"sh010.{frame}.turnaround.{number}.png" for frame in ("0001", "0002") for number in range(1, 5)
    ]
    told = (site.home / "told").read_text().splitlines()
    assert sorted(told) == [f"complete {site.drop / frame} 12.0" for frame in frames]
