"""The browser modules are type-checked by tsc, strictly, from their JSDoc; the examples by what reads them."""

from __future__ import annotations

import re
from pathlib import Path

from nodejs import HERE, install, node

EXAMPLES = HERE.parent.parent / "docs" / "examples"
RECIPE = HERE.parent.parent / "docs" / "recipes" / "wordpress.md"
SERVED = HERE.parent.parent / "server" / "tallycast"
CHECKED = (HERE.parent.parent / "clients" / "browser", SERVED / "demo", SERVED / "dashboard")

READ_PHP = """
import { readFileSync } from "node:fs";
import php from "php-parser";
const { children, errors } = new php.Engine({}).parseCode(readFileSync(process.argv[1], "utf-8"));
if (errors.length || !children.length) throw new Error(errors.join());
"""


def test_the_browser_modules_have_no_type_errors() -> None:
    install()
    done = node(HERE / "node_modules" / "typescript" / "bin" / "tsc", "--project", HERE, "--listFiles")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = {Path(line) for line in done.stdout.splitlines()}
    assert {module for folder in CHECKED for module in folder.glob("*.js")} <= checked


def test_the_example_for_react_has_no_type_errors() -> None:
    install()
    done = node(HERE / "node_modules" / "typescript" / "bin" / "tsc", "--project", HERE / "tsconfig.examples.json")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_for_wordpress_is_php() -> None:
    install()
    done = node("--input-type=module", "--eval", READ_PHP, EXAMPLES / "tallycast.php")
    assert done.returncode == 0, done.stderr


def test_the_recipes_for_wordpress_are_php(tmp_path: Path) -> None:
    install()
    recipes = re.findall(r"^```php\n(.*?)^```$", RECIPE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert recipes
    for number, text in enumerate(recipes):
        (tmp_path / f"{number}.php").write_text(text, "utf-8")
        done = node("--input-type=module", "--eval", READ_PHP, tmp_path / f"{number}.php")
        assert done.returncode == 0, done.stderr


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (HERE / "package-lock.json").read_text("utf-8")
