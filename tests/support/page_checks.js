// What holds of every view for those who hear it, use it by keyboard, or see little: returns what does not.
() => {
  const faults = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const name = (element) => element.getAttribute("aria-label") || element.innerText?.trim() || element.title
    || [...(element.labels ?? [])].map((label) => label.innerText).join(" ").trim()
    || (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  const told = (element) => element.outerHTML.slice(0, 120);

  if (!document.documentElement.lang) faults.push("the page has no language");
  if (all("h1").length !== 1) faults.push(`${all("h1").length} first headings`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids.filter((each, index) => ids.indexOf(each) !== index)) faults.push(`the id ${id} stands twice`);
  for (const each of all("a[href], button, input, select, textarea, summary, [role=img], [role=region], [role=group]")) {
    if (!name(each)) faults.push(`has no name: ${told(each)}`);
  }
  for (const each of document.querySelectorAll("img:not([alt])")) faults.push(`has no alternative: ${told(each)}`);
  for (const each of all("th:not([scope])")) faults.push(`a head of what: ${told(each)}`);
  for (const each of all("button, select, input, nav a")) {
    const { width, height } = each.getBoundingClientRect();
    const hidden = each.classList.contains("sr-only");
    if (!hidden && Math.min(width, height) < 20) faults.push(`too small to hit: ${told(each)}`);
  }

  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !visible(element) || element.closest("svg, :disabled, noscript") || element.closest(".sr-only")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [luminance(parse(style.color)), luminance(ground(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const fault = `contrast ${contrast.toFixed(2)}: ${style.color} ${element.className} ${element.tagName}`;
    if (contrast < (large ? 3 : 4.5) && !seen.has(fault)) faults.push(fault);
    seen.add(fault);
  }
  return faults;
}
