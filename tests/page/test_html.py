"""The page: equations, pictures, code, contents; nothing from the network."""

import base64
import json
import re
from html.parser import HTMLParser

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from dipddpm_utils.page import html

DOT = base64.b64encode(b"not really a picture").decode()


def section() -> html.Section:
    return html.Section("01_a", [], {})


def page(tmp_path, *cells, name="01_a", title="Title") -> html.Page:
    path = tmp_path / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return html.build([(title, path)])


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\bar\alpha_t", "α"),
        (r"\mathcal{N}(0, I)", "𝒩"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "<mtable"),
        (r"\begin{align} a &= b \\ c &= d \end{align}", "<mtable"),
        (r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}", "<mtable"),
        (r"\operatorname*{arg\,min}_\theta", "<mspace"),
        (r"\hat\theta = \arg\min_\theta f \tag{3}", "(3)"),
        (r"\left\lVert x \right\rVert^2", "‖"),
    ],
)
def test_an_equation_becomes_mathml_and_keeps_its_tex_for_those_who_cannot_see_it(tex, expected):
    made = section()
    text = made.equation(tex, display=True)
    assert expected in re.sub(r"&#x([0-9A-F]+);", lambda m: chr(int(m[1], 16)), text) and not made.problems
    assert 'display="block"' in text and "alttext=" in text
    math = HTMLParser()
    math.feed(text)
    assert "&amp;" not in re.sub(r'alttext="[^"]*"', "", text)


@pytest.mark.parametrize("tex", [r"\nosuchcommand{x}", r"\frac{a", r"\begin{nosuch} a & b \end{nosuch}", "a & b"])
def test_an_equation_that_cannot_be_shown_is_said_and_kept_as_tex(tex):
    made = section()
    assert made.equation(tex, display=False).startswith("<code>") and len(made.problems) == 1


@pytest.mark.parametrize(
    ("source", "equations"),
    [
        ("With $a_1$ and $b_2*c*$, $d$.", 3),
        ("$$\n\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}\n$$", 1),
        ("\\begin{equation}\na = b\n\\end{equation}", 1),
        ("It costs $5 or $6, or \\$7$x$.", 1),
        ("`$a$` and ``$b` $c$``", 0),
        ("```\n$a$\n$$b$$\n```\n\n$c$", 1),
        ("| a | b |\n|---|---|\n| $|x|$ | $y$ |", 2),
        ("a\n\n$x\n\ny$", 0),
    ],
)
def test_mathematics_is_found_where_it_is_and_not_in_code_or_prices(source, equations):
    text = section().markdown(source)
    assert text.count("<math ") == text.count("</math>") == equations
    assert "zmathz" not in text
    if "|---|" in source:
        assert text.count("<td") == 2


def test_code_spans_keep_their_dollars():
    text = section().markdown("`$a$` costs \\$5 and\n\n```python\nx = '$b$'\n```")
    assert "<code>$a$</code>" in text and "$b$" in re.sub(r"<[^>]+>", "", text) and "costs $5" in text


@given(st.text(alphabet="a$ \\`*_{}\n|#1", max_size=40))
def test_any_markdown_leaves_no_placeholder_and_balanced_equations(source):
    text = section().markdown(source)
    assert "zmathz" not in text and text.count("<math ") == text.count("</math>")


def test_the_page_holds_everything_in_order_and_nothing_from_outside(tmp_path):
    words = (
        "# Title\n\n[![Open in Colab](https://example.org/badge.svg)](https://example.org/x)\n\n"
        "![gone](gone.png) [other](02_b.ipynb) [file](../x.py) ![far](//example.org/y.png)\n\n"
        "## Part $x_1$"
    )
    alt = {"image/png": {"alt": 'a "line"'}}
    picture = new_output("display_data", {"image/png": DOT, "text/plain": "<Figure>"}, metadata=alt)
    table = new_output("display_data", {"text/html": "<table><tr><td>1</td></tr></table><script>alert(1)</script>"})
    stream = new_output("stream", name="stdout", text="1 < 2\n")
    made = page(
        tmp_path,
        new_markdown_cell(words),
        new_code_cell("import os"),
        new_code_cell("draw('<b>')", outputs=[picture]),
        new_markdown_cell("## Part $x_1$\n\nbetween"),
        new_code_cell("show()", outputs=[table, stream]),
        new_code_cell("f", outputs=[new_output("display_data", {"text/plain": "<Axes: title>"})]),
    )
    text = made.text
    assert "alert" not in text and text.count("<script") == 1 and "example.org/badge" not in text
    assert made.problems == ["a picture is not in the page: gone.png"]
    assert '<a href="https://example.org/x">Open in Colab</a>' in text and "far" in text
    assert text.count(f"data:image/png;base64,{DOT}") == 1 and 'alt="a &quot;line&quot;"' in text
    assert '<a href="#02_b">other</a>' in text and "<span>file</span>" in text
    assert text.count('<details class="code">') == 3  # code that shows nothing shares the next fold
    assert "1 &lt; 2" in text and "&lt;Axes" not in text
    assert "draw(" not in re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    assert text.rindex("between") > text.index(DOT) and '<div class="scroll" tabindex="0"><table>' in text
    anchors, ids = re.findall(r'href="#([^"]+)"', text), re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and set(anchors) - {"02_b"} <= set(ids)
    assert re.search(r'<li><a href="#01_a-part">Part <math', text)  # an equation in a heading, and in the contents


def test_a_notebook_that_was_not_run_is_said(tmp_path):
    made = html.build([("Some <title>", tmp_path / "05_x.ipynb")])
    assert "Some &lt;title&gt;" in made.text and "not been run" in made.text and not made.problems
    assert 'name="viewport"' in made.text and "Content-Security-Policy" in made.text


def test_a_picture_without_words_is_a_problem(tmp_path):
    made = page(tmp_path, new_code_cell("draw()", outputs=[new_output("display_data", {"image/png": DOT})]))
    assert made.problems == ["01_a: a picture has no alternative text"]


def outside_references(page: str) -> list[str]:
    """What a browser would fetch to show the page; must be empty. Links that a reader may follow do not count."""

    class Look(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            if tag == "script":
                self.found.append("<script>")
            for name, value in attributes:
                linked = "href" in name and tag in ("link", "use", "image")
                fetched = linked or name in ("src", "srcset", "poster", "data", "background")
                if fetched and not (value or "").startswith("data:"):
                    self.found.append(f"<{tag} {name}={(value or '')[:80]}>")
                if name == "style" and re.search(r"url\((?!['\"]?data:)", value or ""):
                    self.found.append(f"<{tag} style={(value or '')[:80]}>")

    look = Look()
    look.found = []
    look.feed(page.replace(f"<script>{html.SCRIPT}</script>", ""))  # the only one, allowed by its checksum
    styles = "".join(re.findall(r"<style\b.*?</style>", page, flags=re.DOTALL))
    return look.found + re.findall(r"@import[^;]*|url\((?!['\"]?(?:data:|#))[^)]*\)", styles)


@pytest.mark.parametrize(
    "text",
    ["<img src='x.png'>", "<link href='a.css'>", "<script>1</script>", "<style>@import 'a';</style>",
     "<style>p{background:url(http://a)}</style>", "<p style='background:url(a.png)'>", "<img srcset='a 2x' src='data:,'>"],
)  # fmt: skip
def test_references_to_outside_are_seen(text):
    assert outside_references(text)


def test_references_inside_are_fine():
    assert not outside_references("<a href='https://x'>x</a><img src='data:image/png;base64,AA'><style>p{}</style>")


def test_the_page_is_the_same_each_time(tmp_path):
    cells = [new_markdown_cell("# A\n\n$x$"), new_code_cell("1")]
    first = page(tmp_path, *cells).text
    assert first == page(tmp_path, *cells).text
    assert json.dumps(first)


def test_figures_and_tables_are_numbered_and_links_to_them_say_the_number(tmp_path):
    caption = "It **falls**, as [it must](#tab-01_falls): [table](#tab-01_falls)."
    about = {"image/png": {"alt": "a line", "name": "01_line", "caption": caption}}
    picture = new_output("display_data", {"image/png": DOT, "text/plain": "a line"}, metadata=about)
    below = new_output("display_data", {"text/markdown": "It **falls**."}, metadata={"caption": "01_line"})
    table = '<table id="tab-01_falls" class="x">\n<caption>Falls.</caption><tr><td>1</td></tr></table>'
    play = '<figure id="fig-01_play" class="play"><figcaption>Try.</figcaption></figure>'
    folded = f"<details><summary>Table: Rises (9 rows)</summary>{table.replace('falls', 'rises')}</details>"
    parts = [new_output("display_data", {"text/html": html}) for html in (table, play, folded)]
    shown = [picture, below, *parts]
    words = "# T\n\nSee [](#fig-01_line) and [x](#fig-01_gone)."
    made = page(tmp_path, new_markdown_cell(words), new_code_cell("a", outputs=shown))
    assert made.problems == ["there is no figure or table fig-01_gone"]
    assert 'See <a href="#fig-01_line">Figure 1.1</a> and x.' in made.text
    said = 'as <a href="#tab-01_falls">it must</a>: <a href="#tab-01_falls">Table 1.1</a>.'
    assert f"<b>Figure 1.1.</b> It <strong>falls</strong>, {said}" in made.text
    assert "<b>Table 1.1.</b> Falls." in made.text and "<b>Figure 1.2.</b> Try." in made.text
    assert "<summary>Table 1.2: Rises (9 rows)</summary>" in made.text
    assert made.text.count("<strong>falls") == 1, "the caption stands within its figure and not below it again"


def test_a_link_to_what_another_notebook_has_yet_to_draw_is_text_and_no_problem(tmp_path):
    assert page(tmp_path, new_markdown_cell("# T\n\nSee [this](#fig-02_line).")).problems
    both = html.build([("T", tmp_path / "01_a.ipynb"), ("Not run", tmp_path / "02_b.ipynb")])
    assert not both.problems and "See this." in both.text


def test_a_cell_that_only_shows_code_has_no_code_above_it(tmp_path):
    shown = [new_output("display_data", {"text/markdown": "```python\n1\n```"}, metadata={"folded": "f, a.py"})]
    only = 'lab.source("a.py", "f")\nMarkdown(findings.said(lab))'
    assert "<summary>Code</summary>" not in page(tmp_path, new_code_cell(only, outputs=shown)).text
    assert "<summary>Code</summary>" in page(tmp_path, new_code_cell("x = 1\n" + only, outputs=shown)).text


def test_what_is_for_a_notebook_read_alone_is_left_out(tmp_path):
    kept, alone = (
        new_output("display_data", {"text/markdown": text}, metadata=m)
        for text, m in (("kept", {}), ("said again", {"alone": True}))
    )
    text = page(tmp_path, new_code_cell("x = 1", outputs=[kept, alone])).text
    assert "kept" in text and "said again" not in text


def test_the_assignment_words_and_papers_stand_before_the_notebooks(tmp_path):
    page(tmp_path, new_markdown_cell("# First"))
    text = html.build([("Title", tmp_path / "01_a.ipynb")], "The answer.", "**The two reports.** Of 17").text
    order = ("The answer.", "The assignment asks", "<strong>The two reports.</strong> Of 17", '<section id="about">')
    assert [text.count(part) for part in order] == [1, 1, 1, 1] and sorted(map(text.index, order)) == [*map(text.index, order)]
    assert text.index('<section id="about">') < text.index('<section id="01_a">')


def test_the_number_of_an_equation_stands_beside_it():
    assert section().equation(r"a = b \tag{7}", display=True).endswith('<span class="number">(7)</span></span>')


def test_where_a_text_names_a_notebook_it_leads_there_but_for_code_and_headings(tmp_path):
    text = "# Notebook 01\n\nSee notebook 01, [notebook 01](01_a.ipynb), `notebook 01`; notebook 09 is none."
    body = page(tmp_path, new_markdown_cell(text)).text.partition('<section id="01_a">')[2]
    linked = '<a href="#01_a">notebook 01</a>'
    assert body.count(linked) == 2 and f"See {linked}" in body and "<code>notebook 01</code>" in body
    assert "notebook 09 is none" in body and "Notebook 01</h1>" in body
