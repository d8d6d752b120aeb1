"use strict";
// A click on a figure shows it as large as the window; Escape or another click puts it back.
for (const picture of document.querySelectorAll("figure[id] img")) {
  picture.addEventListener("click", () => picture.classList.toggle("large"));
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll("img.large").forEach((picture) => picture.classList.remove("large"));
});
// A figure to play with: a choice and a slider pick one of the panels that are all in the page.
for (const play of document.querySelectorAll(".play")) {
  const panels = [...play.querySelectorAll("[data-prior]")];
  const [choice, slider] = [play.querySelector("select"), play.querySelector("input")];
  if (!choice || !slider) continue;
  const steps = [...new Set(panels.map((panel) => Number(panel.dataset.t)))].sort((a, b) => a - b);
  slider.max = steps.length - 1;
  const show = () => {
    const t = steps[slider.value];
    slider.setAttribute("aria-valuetext", "t_start " + t);
    for (const panel of panels) panel.hidden = panel.dataset.prior !== choice.value || Number(panel.dataset.t) !== t;
  };
  play.classList.add("live");
  choice.addEventListener("change", show);
  slider.addEventListener("input", show);
  show();
}
// What goes on beyond its right edge fades there.
for (const box of document.querySelectorAll(".scroll, pre, .eq > :first-child")) {
  const mark = () => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  box.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(box);
}
