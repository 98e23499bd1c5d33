const plots = () => [...document.querySelectorAll(".js-plotly-plot")];
addEventListener("beforeprint", () => {
  document.body.classList.add("printing");
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const plot of plots()) Plotly.relayout(plot, { width: plot.parentElement.clientWidth });
});
addEventListener("afterprint", () => {
  document.body.classList.remove("printing");
  for (const plot of plots()) Plotly.relayout(plot, { width: null, autosize: true });
});
const box = document.getElementById("filter"), count = document.getElementById("shown");
const rules = [...document.querySelectorAll("details.rule")];
if (box) box.addEventListener("input", () => {
  const wanted = box.value.trim().toLowerCase();
  for (const rule of rules) rule.hidden = !rule.textContent.toLowerCase().includes(wanted);
  const shown = rules.filter(rule => !rule.hidden).length;
  count.textContent = count.dataset.of.replace("#", shown);
});
