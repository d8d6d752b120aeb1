"""Executed notebooks -> one page that needs no network: pictures inside, equations as MathML, code folded away."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from dipddpm_utils.page import notebook
from dipddpm_utils.page.images import img

TITLE = "Does a Deep Image Prior make a diffusion model faster or better?"
HERE = Path(__file__).parent
TEMPLATE, STYLE, SCRIPT = ((HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
ASSIGNMENT = (HERE / "assignment.md").read_text(encoding="utf-8")  # what was asked, and of which two reports
ABOUT = (HERE / "about.md").read_text(encoding="utf-8")  # glossary and bibliography
READABLE = 0.85  # a figure is not shrunk below this share of its size: its smallest letters are 8 points, 10.7 pixels

# One pattern for what looks like mathematics, and for code, in which a dollar is a dollar.
_MATH = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$|(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)|\\\$)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|(?P<environment>\\begin\{(?P<name>equation|align|gather|multline)\*?\}.+?\\end\{(?P=name)\*?\})"
    r"|\$(?P<inline>(?! )(?:[^$\\\n]|\\.|\n(?!\n))+?(?<! ))\$(?!\d)",
    flags=re.DOTALL | re.MULTILINE,
)

_TAG = re.compile(r"\\tag\{([^{}]*)\}")
_NAMED = re.compile(r'<(table|figure) id="((?:tab|fig)-[^"]+)"(.*?)<(caption|figcaption)>', flags=re.DOTALL)

_CAPTIONED = re.compile(r"<table>((?:(?!<table>).)*?</table>)\s*<p>: (.*?) \{#tab-([\w-]+)\}</p>", flags=re.DOTALL)

# What the converter does not know, or sets badly, in terms of what it knows.
_REWRITTEN = (
    (r"\{(?:aligned|split|align)\}", "{align*}"),
    (r"\{(?:gathered|gather|multline\*?)\}", "{gather*}"),
    (r"\\operatorname\*?\{([^{}]*)\}", r"\\mathrm{\1}"),
    (r"\\arg(?![A-Za-z])", r"\\mathrm{arg}\\,"),
)


class Page(NamedTuple):
    """A page and what could not be put into it (an equation, a missing picture), one line each."""

    text: str
    problems: Sequence[str] = ()


def build(notebooks: list[tuple[str, Path]], front: str = "", reports: str = "") -> Page:
    """One page from (title, executed notebook) pairs, in order; a notebook that has not been run yet is said so.

    front, reports: Markdown of what the page opens with, before the contents, and of what became of the two reports.
    """
    problems: list[str] = []
    sections, contents, numbers = [], [], {}
    for title, path in notebooks:
        section = Section(path.stem, problems, numbers)
        if path.exists():
            body = section.render(notebook.read(path, "run that notebook again (--only), or remove the file"))
        else:
            body = section.heading(1, escape(title)) + "<p><em>This notebook has not been run for this profile yet.</em></p>"
        sections.append(f'<section id="{section.name}">\n{body}\n</section>')
        contents.append(section.contents())
    first, last = Section("front", problems, numbers), Section("about", problems, numbers)
    opening, asked = first.markdown(front), first.markdown(f"{ASSIGNMENT}\n{reports}")
    about = last.markdown(ABOUT)
    toc = f"<ul>{''.join([last.contents(), *contents])}</ul>"
    body = "\n".join([f"<section>{asked}</section>", f'<section id="about">{about}</section>', *sections])
    body = _with_links(body, {path.stem[:2]: path.stem for _, path in notebooks})
    body = body.replace("<pre>", '<pre tabindex="0">')  # to be scrolled with the keyboard
    style = STYLE + HtmlFormatter().get_style_defs(".highlight")
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    values = {"title": escape(TITLE), "style": style, "front": opening, "toc": toc, "body": body}
    text = TEMPLATE.format(**values, script=SCRIPT, allowed=allowed)  # which lets a browser fetch nothing
    whole = all(path.exists() for _, path in notebooks)  # else what a link leads to may not be drawn yet
    text = _numbered(text, numbers, problems if whole else [])
    missing = re.findall(r'<img\b[^>]*\bsrc="(?!data:)([^"]{,80})', text)
    problems += [f"a picture is not in the page: {source}" for source in missing]
    return Page(text, problems)


def _numbered(body: str, numbers: dict[str, str], problems: list[str]) -> str:
    """Links that say "figure", "table" or nothing say its number; one to what is not there becomes text, and a problem."""

    def said(match: re.Match[str]) -> str:
        if match[1] not in numbers:
            problems.append(f"there is no figure or table {match[1]}")
            return match[2]
        return f'<a href="#{match[1]}">{numbers[match[1]] if match[2] in ("figure", "table", "") else match[2]}</a>'

    return re.sub(r'<a href="#((?:fig|tab)-[^"]+)">([^<]*)</a>', said, body)


def _with_links(body: str, sections: dict[str, str]) -> str:
    """Wherever a text says "notebook 05", it leads there. sections: "05" -> the id of its part of the page."""

    def linked(found: re.Match[str]) -> str:
        return f'<a href="#{sections[found["number"]]}">{found[0]}</a>' if found["number"] in sections else found[0]

    as_it_is = r"<(a|code|pre|math|h\d|summary)\b.*?</\1>|<[^>]+>"
    return re.sub(rf"{as_it_is}|\b[Nn]otebook (?P<number>\d\d)\b", linked, body, flags=re.DOTALL)


class Section:
    """One notebook of the page; headings get ids that begin with the notebook's name, so none occurs twice.

    numbers: "fig-NAME" or "tab-NAME" -> "Figure 4.2", filled here for all notebooks of the page.
    """

    def __init__(self, name: str, problems: list[str], numbers: dict[str, str]) -> None:
        self.name, self.problems, self.numbers = name, problems, numbers
        self.chapter = str(int(found[0])) if (found := re.match(r"\d+", name)) else "0"
        self.headings: list[tuple[int, str, str]] = []  # level, id, html

    def render(self, notebook: dict[str, Any]) -> str:
        """The cells in order. Code is folded; neighbouring code cells that show nothing share a fold with the next."""
        parts, code = [], []
        for cell in notebook["cells"]:
            source, shown = "".join(cell["source"]), []
            if cell["cell_type"] == "markdown":
                shown = [self.markdown(source)]
            elif cell["cell_type"] == "code":
                shown = [self.output(output) for output in cell["outputs"]]
                calls = re.sub(r"^(lab\.source|Markdown|display)\(.*\)$", "", source, flags=re.MULTILINE)
                bare = not calls.strip() and (not source.strip() or "lab.source(" in source)  # it shows code itself
                code += [] if bare else [source]
            if any(shown):
                parts += [_fold(code), *shown]
                code = []
        return "\n".join(filter(None, [*parts, _fold(code)]))

    def contents(self) -> str:
        """This notebook's lines of the table of contents: its title, and its second-level headings folded below."""
        first = next((text for level, _, text in self.headings if level == 1), self.name)
        below = "".join(f'<li><a href="#{ident}">{text}</a></li>' for level, ident, text in self.headings if level == 2)
        return f'<li><a href="#{self.name}">{first}</a>{f"<ul>{below}</ul>" if below else ""}</li>'

    def heading(self, level: int, text: str) -> str:
        """A heading with an id of its own, noted for the table of contents. text: HTML."""
        words = re.sub(r"<math\b.*?</math>|<[^>]+>|&\w+;", " ", text, flags=re.DOTALL)
        slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "part"
        taken = {ident for _, ident, _ in self.headings}
        ident = f"{self.name}-{slug}"
        while ident in taken:
            ident += "-"
        self.headings.append((level, ident, re.sub(r"</?a\b[^>]*>", "", text)))
        return f'<h{level} id="{ident}">{text}</h{level}>'

    def markdown(self, source: str) -> str:
        """Markdown with equations as HTML with MathML. A line ": caption {#tab-NAME}" below a table is its caption."""
        from nbconvert.filters import markdown2html_mistune

        equations: list[str] = []

        def keep(match: re.Match[str]) -> str:
            if match["code"]:
                return match[0]
            display = match["inline"] is None
            equations.append(self.equation(match["inline"] or match["display"] or match["environment"], display))
            return f"zmathz{len(equations) - 1}z"

        def put_back(html: str) -> str:
            return re.sub(r"zmathz(\d+)z", lambda match: equations[int(match[1])], html)

        html = re.sub(r'<a class="anchor-link".*?</a>', "", markdown2html_mistune(_MATH.sub(keep, source)), flags=re.DOTALL)
        html = re.sub(r"<h([1-6])[^>]*>(.*?)</h\1>", lambda m: self.heading(int(m[1]), put_back(m[2])), html, flags=re.DOTALL)
        html = _CAPTIONED.sub(r'<table id="tab-\3"><caption>\2</caption>\1', put_back(html))
        return self.inside(html)

    def equation(self, tex: str, display: bool) -> str:
        """One equation as MathML; as TeX, with a problem noted, if it cannot be turned into it."""
        from latex2mathml.converter import convert

        known = _TAG.sub("", tex)
        for pattern, instead in _REWRITTEN:
            known = re.sub(pattern, instead, known)
        try:
            mathml = convert(known.strip(), display="block" if display else "inline")
        except Exception as error:  # its errors share no base class
            mathml = f"\\{error!r}"
        unbalanced = len(re.findall(r"(?<!\\)\{", tex)) != len(re.findall(r"(?<!\\)\}", tex))
        if unbalanced or re.search(r">[^<]*\\[^<]*<|>&<|^\\", mathml):
            self.problems.append(f"{self.name}: this equation could not be turned into MathML: {' '.join(tex.split())}")
            return f"<code>{escape(tex)}</code>"
        mathml = mathml.replace("<math ", f'<math alttext="{escape(" ".join(tex.split()))}" ', 1)
        # its number in the notebook stands beside the equation, where it cannot be cut off
        number = f'<span class="number">({escape(tag[1])})</span>' if (tag := _TAG.search(tex)) else ""
        return f'<span class="eq"><span>{mathml}</span>{number}</span>' if display else mathml

    def output(self, output: dict[str, Any]) -> str:
        """One output of a code cell: the richest form that can stand in a page."""
        if output["output_type"] == "stream":
            text = _pre("".join(output["text"]))
            return f"<details><summary>Warnings</summary>{text}</details>" if text and output["name"] == "stderr" else text
        data, about = output["data"], output.get("metadata", {})
        if {"caption", "alone"} & set(about):
            return ""  # it stands within its figure; or it is for a notebook read alone, and the page has said it
        if "text/html" in data:
            return f'<div class="out">{self.inside("".join(data["text/html"]))}</div>'
        if "image/png" in data:
            return self.figure(data["image/png"], about.get("image/png", {}))
        if "text/markdown" in data:
            said = f'<div class="out">{self.markdown("".join(data["text/markdown"]))}</div>'
            folded = escape(about.get("folded", ""))
            return f'<details class="source"><summary>Code: {folded}</summary>{said}</details>' if folded else said
        text = "".join(data.get("text/plain", ""))
        return "" if re.match(r"<[\w.]+( object)?( at |: |\b.*>$)", text) else _pre(text)

    def figure(self, content: str | list[str], about: dict[str, Any]) -> str:
        """A PNG with its number and caption; a narrow screen scrolls it, since shrunk nobody could read it."""
        if not (alt := about.get("alt", "")):
            self.problems.append(f"{self.name}: a picture has no alternative text")
        data = base64.b64decode("".join(content))
        pixels = int.from_bytes(data[16:20], "big")  # the width, from its header
        picture = img(data, alt, f'style="min-width:{round(READABLE * pixels)}px"')
        picture = f'<div class="scroll" tabindex="0">{picture}</div>'
        if not (name := about.get("name", "")):
            return f"<figure>{picture}</figure>"
        said = re.sub(r"^<p>(.*?)</p>", r"\1", self.markdown(about.get("caption", "")).strip(), flags=re.DOTALL)
        whole = f'<figure id="fig-{name}">{picture}<figcaption>{said}</figcaption></figure>'
        return _NAMED.sub(self.captioned, whole)

    def captioned(self, match: re.Match[str]) -> str:
        """A table or figure gets its number, counted in its notebook, before the caption; noted, so that links can say it."""
        kind, key, between, caption = match.groups()
        start = f"{kind.capitalize()} {self.chapter}."
        said = f"{start}{sum(other.startswith(start) for other in self.numbers.values()) + 1}"  # 'Figure 4.2'
        if self.numbers.setdefault(key, said) != said:
            self.problems.append(f"{self.name}: the name {key} is given twice")
        return f'<{kind} id="{key}"{between}<{caption}><b>{said}.</b> '

    def inside(self, html: str) -> str:
        """The same HTML with links between notebooks made internal, scripts dropped, tables scrollable.

        Of a picture on the network (a badge) only its alternative text is left.
        """
        html = re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL | re.IGNORECASE)
        html = _NAMED.sub(self.captioned, html)
        html = re.sub(r"<summary>Table: (.*?<b>(Table [\d.]+)\.</b>)", r"<summary>\2: \1", html, flags=re.DOTALL)  # folded
        html = re.sub(r'<img src="(?:https?:)?//[^"]*" alt="([^"]*)"[^>]*>', r"\1", html)
        html = re.sub(r'<a\b([^>]*?)href="([^"]*)"([^>]*)>(.*?)</a>', self.link, html, flags=re.DOTALL)
        html = re.sub(r"<caption>(.*?)</caption>", r"<caption><span>\1</span></caption>", html, flags=re.DOTALL)
        # to be scrolled with the keyboard, a wide table's frame has to take the focus
        return re.sub(r"(<table\b.*?</table>)", r'<div class="scroll" tabindex="0">\1</div>', html, flags=re.DOTALL)

    def link(self, match: re.Match[str]) -> str:
        """A link to another notebook leads within the page; one to a file becomes text, as the page may travel alone."""
        target, text = match[2], match[4]
        if re.match(r"(https?|mailto):|#(fig|tab|about)-|#\d\d_|tables/[\w.-]+\.csv$", target):
            return match[0]
        notebook = re.search(r"([\w-]+)\.ipynb(#.*)?$", target)
        if notebook or target.startswith("#"):
            internal = f"#{notebook[1]}" if notebook else f"#{self.name}-{target[1:].lower()}"
            return f'<a href="{internal}">{text}</a>'
        return f"<span>{text}</span>"


def _fold(sources: list[str]) -> str:
    if not sources:
        return ""
    code = [highlight(source, PythonLexer(), HtmlFormatter()) for source in sources]
    return f'<details class="code"><summary>Code</summary>{"".join(code)}</details>'


def _pre(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text.strip("\n"))
    return f"<pre>{escape(text)}</pre>" if text else ""
