"""Executed notebooks -> one page that needs no network: pictures inside, equations as MathML, code folded away."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from dipddpm_utils.page import notebook
from dipddpm_utils.page.section import Section

TITLE = "Does a Deep Image Prior make a diffusion model faster or better?"
HERE = Path(__file__).parent
TEMPLATE, STYLE, SCRIPT = ((HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
ASSIGNMENT = (HERE / "assignment.md").read_text(encoding="utf-8")  # what was asked, and of which two reports
ABOUT = (HERE / "about.md").read_text(encoding="utf-8")  # glossary and bibliography


@dataclass
class Page:
    """A page and what could not be put into it (an equation, a missing picture), one line each."""

    text: str = ""
    problems: list[str] = field(default_factory=list)


def build(notebooks: list[tuple[str, Path]], front: str = "") -> Page:
    """One page from (title, executed notebook) pairs, in order; a notebook that has not been run yet is said so.

    front: Markdown of what the page opens with, before the contents.
    """
    from pygments.formatters import HtmlFormatter

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
    opening, asked = first.markdown(front), first.markdown(ASSIGNMENT)
    about = last.markdown(ABOUT)
    toc = f"<ul>{''.join([last.contents(), *contents])}</ul>"
    body = "\n".join([f"<section>{asked}</section>", f'<section id="about">{about}</section>', *sections])
    body = _with_links(body, {path.stem[:2]: path.stem for _, path in notebooks})
    body = _numbered(body, numbers, problems).replace("<pre>", '<pre tabindex="0">')  # to be scrolled with the keyboard
    opening = _numbered(opening, numbers, problems)
    style = STYLE + HtmlFormatter().get_style_defs(".highlight")
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    values = {"title": escape(TITLE), "style": style, "front": opening, "toc": toc, "body": body}
    text = TEMPLATE.format(**values, script=SCRIPT, allowed=allowed)  # which lets a browser fetch nothing
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
