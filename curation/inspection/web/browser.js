"use strict";
// Sample browser of the report and the viewer: filters, pages, keyboard control, and one pair enlarged.

function createElement(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function describe(sample) {
  return `motion ${sample.motion_px.toFixed(2)} px, gap ${sample.gap_ms.toLocaleString("en")} ms, `
    + `frames ${sample.source_index} to ${sample.target_index}, ${sample.split}/${sample.shard}`;
}

// findSamples(query, page): promise of {total, pages, samples}. pictureUrl(sample, role): URL of a picture.
// saveQuery(query, page): optional, called before each search.
function browse({ findSamples, pictureUrl, saveQuery = () => {}, page = 0, unit = "samples" }) {
  const section = document.querySelector("#browser"), form = section.querySelector("form");
  const [list, status, previousPage, nextPage] = ["#samples", "#status", "#previous-page", "#next-page"]
    .map((selector) => section.querySelector(selector));
  const dialog = section.querySelector("dialog"), largeImages = dialog.querySelectorAll("img");
  let numPages = 0, lastRequest = 0, timer = 0, samples = [], current = 0;

  const createImage = (sample, role, alt) => createElement("img", { src: pictureUrl(sample, role), alt, loading: "lazy" });
  const createLabel = (text) => createElement("small", { textContent: text });

  function createCard(sample, position) {
    const blink = createElement("span", { className: "blink" }, createImage(sample, "source", ""), createImage(sample, "target", ""));
    const enlargeButton = createElement("button", { type: "button", className: "enlarge", onclick: () => enlarge(position) }, blink);
    enlargeButton.setAttribute("aria-label", `Enlarge: ${sample.caption}`);
    return createElement("li", {}, createElement("figure", {},
      createElement("div", { className: "pictures" },
        createElement("div", {}, createImage(sample, "source", `Source: ${sample.caption}`), createLabel("source")),
        createElement("div", {}, createImage(sample, "target", `Target: ${sample.caption}`), createLabel("target")),
        createElement("div", {}, enlargeButton, createLabel("blink"))),
      createElement("figcaption", {},
        createElement("p", { className: "caption", dir: "auto", textContent: sample.caption }),
        createElement("p", { className: "facts" }, describe(sample), createElement("br", {}),
          createElement("code", { textContent: sample.key })))));
  }

  async function load() {
    const request = ++lastRequest, query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value && name !== "third") query.set(name, value);
    saveQuery(query, page);
    try {
      const result = await findSamples(query, page);
      if (request !== lastRequest) return;
      [numPages, samples] = [result.pages, result.samples];
      list.replaceChildren(...samples.map(createCard));
      const total = `${result.total.toLocaleString("en")} ${result.total === 1 ? unit.replace(/s$/, "") : unit}`;
      status.textContent = result.total
        ? `${total}, page ${page + 1} of ${numPages.toLocaleString("en")}` : `No ${unit} match the filters.`;
    } catch (error) {
      if (request !== lastRequest) return;
      status.textContent = `Cannot load samples: ${error.message}. Is the viewer still running?`;
    }
    previousPage.disabled = page <= 0;
    nextPage.disabled = page + 1 >= numPages;
  }

  async function turnPage(by) {
    const target = Math.min(Math.max(page + by, 0), Math.max(numPages - 1, 0));
    if (target === page) return false;
    page = target;
    await load();
    if (!dialog.open) section.scrollIntoView();
    return true;
  }

  // Select the previous or next pair; turns the page at either end.
  async function selectNext(by) {
    let target = current + by;
    if (target < 0 || target >= samples.length) {
      if (!await turnPage(by)) return false;
      target = by > 0 ? 0 : samples.length - 1;
    }
    current = target;
    return true;
  }

  function enlarge(position) {
    current = position;
    const sample = samples[current];
    ["source", "target", "source", "target"].forEach((role, k) => { largeImages[k].src = pictureUrl(sample, role); });
    largeImages[2].alt = `Source: ${sample.caption}`;
    largeImages[3].alt = `Target: ${sample.caption}`;
    dialog.querySelector("#large-caption").textContent = sample.caption;
    dialog.querySelector("#large-facts").replaceChildren(describe(sample), createElement("br", {}),
      createElement("code", { textContent: sample.key }));
    if (!dialog.open) {
      setMode(matchMedia("(prefers-reduced-motion: reduce)").matches ? "show-source" : "");
      dialog.showModal();
    }
  }

  // Mode of the large picture: "show-source", "show-target", or "" for blinking.
  function setMode(mode) {
    dialog.className = mode;
    dialog.querySelector("#large-mode").textContent = { "show-source": "source", "show-target": "target" }[mode] || "blink";
    dialog.querySelector("#blink").setAttribute("aria-pressed", String(!mode));
  }

  const enlargeButtons = () => [...list.querySelectorAll(".enlarge")];
  const enlargeNext = async (by) => { if (await selectNext(by)) enlarge(current); };
  const onClick = (selector, action) => dialog.querySelector(selector).addEventListener("click", action);
  onClick("#flip", () => setMode(dialog.className === "show-target" ? "show-source" : "show-target"));
  onClick("#blink", () => setMode(""));
  onClick("#previous-pair", () => enlargeNext(-1));
  onClick("#next-pair", () => enlargeNext(1));
  onClick("#close", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => enlargeButtons()[current]?.focus());

  form.addEventListener("input", (event) => {
    list.className = form.elements.third.value;
    if (event.target.name === "third") return;
    page = 0;
    clearTimeout(timer);
    timer = setTimeout(load, 150);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  previousPage.addEventListener("click", () => turnPage(-1));
  nextPage.addEventListener("click", () => turnPage(1));

  addEventListener("keydown", async (event) => {
    const isTyping = event.target.matches("input, select, [contenteditable]");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (dialog.open) {
      if (by) enlargeNext(by);
      if (event.key === "b") setMode("");
      return;
    }
    if (event.key === "/") { event.preventDefault(); form.elements.text.focus(); }
    if (event.key === "n") turnPage(1);
    if (event.key === "p") turnPage(-1);
    const focused = enlargeButtons().indexOf(document.activeElement);
    if (!by || focused < 0) return;
    current = focused;
    if (await selectNext(by)) enlargeButtons()[current].focus();
  });

  return load();
}
