"""One HTML page that stands alone: figures, tables, what they stand on. No script, no link."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from mull.evaluation.quoted import SOURCE, Quoted
from mull.evaluation.tables import Table

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "svg{margin:1rem 0}.wide{overflow-x:auto}p.note{color:#6b7280;max-width:48rem}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:1rem 0}"
    "th,td{padding:.25rem .7rem;text-align:right;white-space:nowrap}"
    "th{border-bottom:1px solid #9ca3af}tr.first td{border-top:1px solid #9ca3af55}"
    "td.text,th.text{text-align:left}dt{font-weight:600}dd{margin:0 0 .5rem 0}"
)


def page(
    title: str,
    figures: Sequence[str],
    tables: Sequence[Table],
    quoted: Sequence[Quoted],
    terms: Sequence[tuple[str, str]],
) -> str:
    """The page; `figures` are SVG texts, everything else is escaped."""
    return "\n".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>mull: {escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *figures,
            *(part for table in tables for part in _table(table)),
            *_quoted(quoted),
            *_terms(terms),
            "</body></html>",
            "",
        )
    )


def _table(table: Table) -> Iterator[str]:
    yield f'<h2>{escape(table.title)}</h2><div class="wide"><table><thead>'
    yield _row("th", table.columns, "")
    yield "</thead><tbody>"
    before = ""
    for cells in table.rows:
        is_first = cells[0] != before
        yield _row("td", cells if is_first else ("", *cells[1:]), "first" if is_first else "")
        before = cells[0]
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="note">{escape(table.note)}.</p>'


def _row(tag: str, cells: Sequence[str], kind: str) -> str:
    kinds = ("number" if place else "text" for place in range(len(cells)))
    marked = (
        f'<{tag} class="{each}">{escape(cell)}</{tag}>'
        for each, cell in zip(kinds, cells, strict=True)
    )
    return f'<tr class="{kind}">{"".join(marked)}</tr>'


def _quoted(quoted: Sequence[Quoted]) -> Iterator[str]:
    if not quoted:
        return
    yield f"<h2>Published for comparison</h2><p>{escape(SOURCE)}.</p><table><tbody>"
    for each in quoted:
        yield _row("td", (each.label, f"{each.accuracy * 100:.1f} %", each.note), "")
    yield "</tbody></table>"


def _terms(terms: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "<h2>How these numbers were made</h2><dl>"
    for term, meaning in terms:
        if meaning:
            yield f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>"
    yield "</dl>"
