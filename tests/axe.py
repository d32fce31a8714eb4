"""axe, which finds on a page what shuts people out."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

AXE = Path(__file__).parent / "browser" / "node_modules" / "axe-core" / "axe.min.js"
RULES = """
async () => {
  const { violations } = await axe.run();
  const told = (id) => ({ target, failureSummary }) => [id, String(target), failureSummary];
  return violations.flatMap(({ id, nodes }) => nodes.map(told(id)));
}
"""


async def audit(page: Page) -> list[list[str]]:
    """What axe finds wrong on a page as it is now."""
    await page.evaluate(AXE.read_text("utf-8"))
    found: list[list[str]] = await page.evaluate(RULES)
    return found
