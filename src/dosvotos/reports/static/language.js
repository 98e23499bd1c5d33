const root = document.documentElement, asked = new URLSearchParams(location.search).get("lang");
const plotted = [], attributes = [];
const half = text => text.split("SEPARATOR")[root.lang === "es" ? 1 : 0] ?? text;
const inLanguage = value => typeof value === "string" ? half(value) : !value || typeof value !== "object" ? value
  : Array.isArray(value) ? value.map(inLanguage)
  : Object.fromEntries(Object.entries(value).map(([key, part]) => [key, inLanguage(part)]));
const plotIn = (draw, [id, data, layout, config]) =>
  draw(id, inLanguage(data), inLanguage(layout), { ...config, locale: root.lang });
let draw;
const translatePlots = locale => {
  draw = Plotly.newPlot;
  Plotly.register(locale);
  Plotly.newPlot = (...plot) => { plotted.push(plot); return plotIn(draw, plot); };
};
const show = language => {
  root.lang = language === "es" ? "es" : "en";
  document.title = document.querySelector("h1").innerText;
  for (const [part, name, text] of attributes) part.setAttribute(name, half(text));
  for (const button of document.querySelectorAll(".languages button"))
    button.setAttribute("aria-pressed", button.lang === root.lang);
};
root.lang = (asked ?? ("stated" in root.dataset ? root.lang : navigator.language)).startsWith("es") ? "es" : "en";
addEventListener("DOMContentLoaded", () => {
  for (const name of ["aria-label", "placeholder", "data-of"])
    for (const part of document.querySelectorAll(`[${name}]`)) attributes.push([part, name, part.getAttribute(name)]);
  for (const button of document.querySelectorAll(".languages button")) button.addEventListener("click", () => {
    show(button.lang);
    for (const plot of plotted) plotIn(draw, plot);
  });
  show(root.lang);
});
