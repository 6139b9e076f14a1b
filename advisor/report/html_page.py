"""The frame of our HTML pages: one file, no network, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

# Colours by name, on a light and on a dark background.
_LIGHT = """--ink: #1c2024; --soft: #60656c; --line: #d9dce0;
  --back: #ffffff; --card: #f6f7f9; --good: #1a7f4b; --bad: #b3361e; --accent: #1f5fbf;
  --c0: #6b7280; --c1: #1f5fbf; --c2: #b8560f; --c3: #1a7f4b; --c4: #8a3ab9; --c5: #b3361e;
  --c6: #0e7c86; --c7: #8c6d1f;"""
_DARK = """--ink: #e7e9ec; --soft: #9aa1aa; --line: #363b42;
  --back: #14171a; --card: #1d2125; --good: #58c98c; --bad: #f08570; --accent: #7fb0ff;
  --c0: #9aa1aa; --c1: #7fb0ff; --c2: #f0a35e; --c3: #58c98c; --c4: #c58af0; --c5: #f08570;
  --c6: #5fd0da; --c7: #d9bd6a;"""
# Everything is scoped to .advise, so that a notebook keeps its own style around it.
_STYLE = f"""
.advise {{ {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ .advise {{ {_DARK} }} }}
.advise {{ background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
.advise, .advise * {{ box-sizing: border-box; }}
.advise h1 {{ font-size: 1.5rem; margin: 0 0 .25rem; }}
.advise h2 {{ font-size: 1.1rem; margin: 2.25rem 0 .75rem; }}
.advise p {{ margin: .3rem 0; }} .advise .soft {{ color: var(--soft); }}
.advise .good {{ color: var(--good); }} .advise .bad {{ color: var(--bad); }}
.advise .figures {{ display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }}
.advise .figure {{ background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem 1rem; flex: 1 1 11rem; }}
.advise .figure b {{ display: block; font-size: 1.3rem; }}
.advise table {{ border-collapse: collapse; width: 100%; font-size: .92rem; }}
.advise th, .advise td {{ text-align: left; vertical-align: top; padding: .45rem .6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }}
.advise th {{ color: var(--soft); font-weight: 600; white-space: nowrap; }}
.advise td.number {{ font-variant-numeric: tabular-nums; white-space: nowrap; }}
.advise tr.best td {{ background: var(--card); }} .advise .wide {{ overflow-x: auto; }}
.advise pre {{ background: var(--card); color: var(--ink); border: 1px solid var(--line);
  border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; font-size: .86rem;
  line-height: 1.45; }}
.advise .plus {{ color: var(--good); }} .advise .minus {{ color: var(--bad); }}
.advise svg {{ width: 100%; height: auto; }}
.advise svg text {{ fill: var(--soft); font: 12px system-ui, sans-serif; }}
.advise .key {{ display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .88rem;
  margin-top: .4rem; }}
.advise .key i {{ display: inline-block; width: 1.4rem; height: 0; border-top: 3px solid;
  vertical-align: middle; margin-right: .4rem; }}
"""
_WHOLE_PAGE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; }
"""
# A notebook's theme may differ from that of the system.
_IN_NOTEBOOK = f"""
body[data-jp-theme-light="true"] .advise {{ {_LIGHT} }}
body[data-jp-theme-light="false"] .advise {{ {_DARK} }}
.advise.piece {{ max-width: 62rem; padding: .75rem 1.25rem 1rem; }}
.advise.piece h2 {{ margin-top: 0; }}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page; the parts are HTML, the title is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_WHOLE_PAGE}{_STYLE}</style></head>"
        '<body class="advise">\n' + "\n".join(part for part in parts if part) + "\n</body></html>\n"
    )


def piece(parts: Sequence[str]) -> str:
    """Return parts with their style, to embed in another page."""
    inner = "\n".join(part for part in parts if part)
    return f'<div class="advise piece"><style>{_STYLE}{_IN_NOTEBOOK}</style>\n{inner}\n</div>'


def diff_block(text: str) -> str:
    """Return a unified diff with coloured lines."""
    return "<pre>" + "\n".join(map(_diff_line, text.splitlines())) + "</pre>"


def _diff_line(line: str) -> str:
    kind = {"+": "plus", "-": "minus"}.get(line[:1], "")
    return f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line)
