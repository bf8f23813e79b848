"""A comparison as markdown, LaTeX, HTML, or tidy csv."""

import csv
import io
import re
from collections.abc import Callable

from jinja2 import Environment

from affect.reporting.comparison import Block, Cell, Comparison, layout

_CSV = ("table", "metric", "task", "method", "mean", "sd", "low", "high", "n", "over", "published", "difference")
_MORE = ("source", "setting", "vs_source_only", "vs_low", "vs_high", "p", "p_holm", "effect", "helped", "hurt", "mark")


def markdown(comparison: Comparison) -> str:
    """Headline, marks and facts, a table for each block, sources and notes."""
    lines = [f"# {comparison.title}"]
    lines += [line for mark in comparison.marks for line in ("", f"**{mark}**")]
    lines += ["", *(f"- {fact}" for fact in comparison.facts)] if comparison.facts else []
    for block in layout(comparison):
        body = [[f"**{cell.text}**" if cell.bold else cell.text for cell in row] for row in block.rows]
        lines += ["", f"**{block.title}** ({block.caption})", "", *_piped([block.header, *body])]
        lines += ["", *(f"{line}  " for line in block.lines)] if block.lines else []
    for title, items in _listed(comparison).items():
        lines += ["", f"{title}:", *(f"- {item}" for item in items)]
    return "\n".join(lines)


def _listed(comparison: Comparison) -> dict[str, list[str]]:
    """What stands under the tables."""
    published = list(dict.fromkeys(f"{one.source}: {one.protocol}" for one in comparison.published))
    return {title: items for title, items in {"Published": published, "Notes": list(comparison.notes)}.items() if items}


def _piped(rows: list[list[str]]) -> list[str]:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]


_HTML = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<section class="comparison">
<h2>{{ title }}</h2>
{% for mark in marks %}
<p class="mark"><strong>{{ mark }}</strong></p>
{% endfor %}
{% if facts %}
<ul class="facts">
{% for fact in facts %}
<li>{{ fact }}</li>
{% endfor %}
</ul>
{% endif %}
{% for block in blocks %}
<div class="scroll"><table>
<caption><strong>{{ block.title }}</strong> ({{ block.caption }})</caption>
<thead><tr>{% for name in block.header %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in block.rows %}
<tr>
{% for cell in row %}
{% set head = ' scope="row" style="font-weight: normal; text-align: left"' | safe %}
{% set tag, scope = ("th", head) if loop.first else ("td", "") %}
<{{ tag }}{{ scope }}>{% if cell.bold %}<strong>{{ cell.text }}</strong>{% else %}{{ cell.text }}{% endif %}</{{ tag }}>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
{% for line in block.lines %}
<p>{{ line }}</p>
{% endfor %}
{% endfor %}
{% for title, items in listed.items() %}
<h3>{{ title }}</h3>
<ul>
{% for item in items %}
<li>{{ item }}</li>
{% endfor %}
</ul>
{% endfor %}
</section>""")


def html(comparison: Comparison) -> str:
    """A `<section class="comparison">` for a page of any style; wide tables stand in `<div class="scroll">`."""
    return _HTML.render(**vars(comparison), blocks=layout(comparison), listed=_listed(comparison))


_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "−": r"$-$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$"},
    **{"λ": r"$\lambda$", "Δ": r"$\Delta$", "·": r"$\cdot$", "°": r"$^\circ$", "µ": r"$\mu$", "σ": r"$\sigma$"},
    **{"<": "$<$", ">": "$>$", "|": r"$|$", "–": "--", "…": r"\ldots{}", "½": r"$\frac{1}{2}$", "η": r"$\eta$"},
    **{"“": "``", "”": "''", '"': "''"},
}
_SIGN = re.compile("|".join(map(re.escape, _TEX)))
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_WIDE = 90
"""Letters from which a table is fitted to the line."""


def latex(comparison: Comparison) -> str:
    r"""A `table` for each block, for `\\input` into a document; nothing but graphicx is needed, for wide ones."""
    lines = [r"% \usepackage{graphicx}"]
    marks = " ".join(rf"\textbf{{{_tex(mark)}.}}" for mark in comparison.marks)
    for number, block in enumerate(layout(comparison)):
        above = f"{comparison.title}. {'; '.join(comparison.facts)}. " if number == 0 else ""
        caption = f"{marks} {_tex(above)}{_tex(f'{block.title} ({block.caption}).')}".strip()
        lines += [r"\begin{table}[htbp]", r"\centering\footnotesize", rf"\caption{{{caption}}}", *_tabular(block)]
        lines += [rf"\par {_tex(line)}" for line in block.lines]
        lines += [r"\end{table}", ""]
    for title, items in _listed(comparison).items():
        lines += [rf"\paragraph{{{title}}}", r"\begin{itemize}", *(rf"\item {_tex(item)}" for item in items)]
        lines += [r"\end{itemize}", ""]
    return "\n".join(lines)


def _tabular(block: Block) -> list[str]:
    def row(cells: list[Cell]) -> str:
        return " & ".join(rf"\textbf{{{_tex(c.text)}}}" if c.bold else _tex(c.text) for c in cells) + r" \\"

    head = row([Cell(name) for name in block.header])
    body = [r"\hline", head, r"\hline", *map(row, block.rows), r"\hline"]
    texts = [block.header, *([cell.text for cell in cells] for cells in block.rows)]
    wide = sum(max(map(len, column)) + 2 for column in zip(*texts, strict=True)) > _WIDE
    begin, end = (r"\resizebox{\linewidth}{!}{%", "}") if wide else ("", "")
    columns = "l" * len(block.header)
    return [line for line in (begin, rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}" + end) if line]


def _tex(text: str) -> str:
    """Escaped; a sign that LaTeX's own fonts lack is left to the document's encoding."""
    text = _MINUS.sub("−", text)
    return _SIGN.sub(lambda found: _TEX[found[0]], text)


def as_csv(comparison: Comparison) -> str:
    """A line for each figure: ours and what is known of its spread, published, source, its test, and the marks."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_CSV, *_MORE])
    for f in comparison.figures:
        told, source = comparison.told(f.metric).get((f.method, f.task)), ""
        for one in comparison.published:
            if one.metric == f.metric and (f.method, f.task) in one.values:
                source = source or one.source
        low, high = f.interval or (None, None)
        row = [comparison.title, f.metric, f.task, f.method, f.mean, f.sd, low, high, f.n, f.over, told]
        test = list(vars(f.against).values()) if f.against else [None] * 8
        difference = None if told is None else f.mean - told
        writer.writerow([*row, difference, source, f.setting, *test, "; ".join(comparison.marks)])
    return out.getvalue()


FORMATS: dict[str, Callable[[Comparison], str]] = {"md": markdown, "latex": latex, "csv": as_csv, "html": html}
