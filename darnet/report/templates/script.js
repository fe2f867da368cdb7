"use strict";
// Tabs: one panel at a time; arrow keys, Home and End go from tab to tab.
for (const tabs of document.querySelectorAll(".tabs")) {
  const buttons = [...tabs.querySelector("[role=tablist]").children];
  const panels = buttons.map((button) => document.getElementById(button.getAttribute("aria-controls")));
  const select = (chosen, focus) => {
    buttons.forEach((button, n) => {
      button.setAttribute("aria-selected", String(n === chosen));
      button.tabIndex = n === chosen ? 0 : -1;
      panels[n].hidden = n !== chosen;
    });
    if (focus) buttons[chosen].focus();
  };
  buttons.forEach((button, n) => {
    button.addEventListener("click", () => select(n, false));
    button.addEventListener("keydown", (event) => {
      const last = buttons.length - 1;
      const next = { ArrowRight: n === last ? 0 : n + 1, ArrowLeft: n === 0 ? last : n - 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      select(next, true);
    });
  });
  select(0, false);
}
// Sliders: one step at a time.
for (const stack of document.querySelectorAll(".stack")) {
  const slider = stack.querySelector("input");
  const output = stack.querySelector("output");
  const steps = [...stack.querySelectorAll(".step")];
  const show = () => {
    const chosen = Number(slider.value) - 1;
    steps.forEach((step, n) => { step.hidden = n !== chosen; });
    output.textContent = `${chosen + 1} of ${steps.length}`;
  };
  slider.addEventListener("input", show);
  show();
}
// Labels over the scans, on all pictures together.
const boxes = [...document.querySelectorAll("input.labels")];
for (const box of boxes) {
  box.addEventListener("change", () => {
    document.body.classList.toggle("no-labels", !box.checked);
    for (const other of boxes) other.checked = box.checked;
  });
}
