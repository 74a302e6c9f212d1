"use strict";
// The browser of pairs. A page calls `browse` with what differs: where samples are found and where a picture is.

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function describe(sample) {
  return `motion ${sample.motion_px.toFixed(2)} px, gap ${sample.gap_ms.toLocaleString("en")} ms, `
    + `frames ${sample.source_index} to ${sample.target_index}, ${sample.split}/${sample.shard}`;
}

// find(query, page): a promise of {total, pages, samples}; picture(sample, role): an address; remember(query): optional.
function browse({ find, picture, remember = () => {}, page = 0, unit = "samples" }) {
  const section = document.querySelector("#browser"), form = section.querySelector("form");
  const [list, told, back, next] = ["#samples", "#told", "#back", "#next"].map((id) => section.querySelector(id));
  const dialog = section.querySelector("dialog"), large = dialog.querySelectorAll("img");
  let pages = 0, asked = 0, waiting = 0, shown = [], at = 0;

  const image = (sample, role, alt) => make("img", { src: picture(sample, role), alt, loading: "lazy" });

  function card(sample, number) {
    const blink = make("span", { className: "blink" }, image(sample, "source", ""), image(sample, "target", ""));
    const closer = make("button", { type: "button", className: "closer", onclick: () => enlarge(number) }, blink);
    closer.setAttribute("aria-label", `Enlarge: ${sample.caption}`);
    return make("li", {}, make("figure", {},
      make("div", { className: "pictures" },
        make("div", {}, image(sample, "source", `Source: ${sample.caption}`), make("small", { textContent: "source" })),
        make("div", {}, image(sample, "target", `Target: ${sample.caption}`), make("small", { textContent: "target" })),
        make("div", {}, closer, make("small", { textContent: "in turn" }))),
      make("figcaption", {},
        make("p", { className: "quote", dir: "auto", textContent: sample.caption }),
        make("p", { className: "facts" }, describe(sample), make("br", {}), make("code", { textContent: sample.key })))));
  }

  async function load() {
    const number = ++asked, query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value && name !== "third") query.set(name, value);
    remember(query, page);
    try {
      const found = await find(query, page);
      if (number !== asked) return;
      [pages, shown] = [found.pages, found.samples];
      list.replaceChildren(...shown.map(card));
      const samples = `${found.total.toLocaleString("en")} ${found.total === 1 ? unit.replace(/s$/, "") : unit}`;
      told.textContent = found.total ? `${samples}, page ${page + 1} of ${pages.toLocaleString("en")}` : "No sample is like that.";
    } catch (error) {
      if (number !== asked) return;
      told.textContent = `The samples cannot be had: ${error.message}. Is the viewer still running?`;
    }
    back.disabled = page <= 0;
    next.disabled = page + 1 >= pages;
  }

  async function turn(by) {
    const wanted = Math.min(Math.max(page + by, 0), Math.max(pages - 1, 0));
    if (wanted === page) return false;
    page = wanted;
    await load();
    if (!dialog.open) section.scrollIntoView();
    return true;
  }

  // To the pair before or after, over the ends of a page.
  async function step(by) {
    let wanted = at + by;
    if (wanted < 0 || wanted >= shown.length) {
      if (!await turn(by)) return false;
      wanted = by > 0 ? 0 : shown.length - 1;
    }
    at = wanted;
    return true;
  }

  function enlarge(number) {
    at = number;
    const sample = shown[at];
    ["source", "target", "source", "target"].forEach((role, k) => { large[k].src = picture(sample, role); });
    large[2].alt = `Source: ${sample.caption}`;
    large[3].alt = `Target: ${sample.caption}`;
    dialog.querySelector("#large-caption").textContent = sample.caption;
    dialog.querySelector("#large-facts").replaceChildren(describe(sample), make("br", {}), make("code", { textContent: sample.key }));
    if (!dialog.open) {
      showLarge(matchMedia("(prefers-reduced-motion: reduce)").matches ? "show-source" : "");
      dialog.showModal();
    }
  }

  function showLarge(what) {
    dialog.className = what;
    dialog.querySelector("#large-shown").textContent = { "show-source": "source", "show-target": "target" }[what] || "in turn";
    dialog.querySelector("#blink").setAttribute("aria-pressed", String(!what));
  }

  const flip = () => showLarge(dialog.className === "show-target" ? "show-source" : "show-target");
  const stepLarge = async (by) => { if (await step(by)) enlarge(at); };
  const clicked = (id, act) => dialog.querySelector(id).addEventListener("click", act);
  clicked("#flip", flip);
  clicked("#blink", () => showLarge(""));
  clicked("#pair-back", () => stepLarge(-1));
  clicked("#pair-next", () => stepLarge(1));
  clicked("#close", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => list.querySelectorAll(".closer")[at]?.focus());

  form.addEventListener("input", (event) => {
    list.className = form.elements.third.value;
    if (event.target.name === "third") return;
    page = 0;
    clearTimeout(waiting);
    waiting = setTimeout(load, 150);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  back.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));

  addEventListener("keydown", async (event) => {
    const typing = event.target.matches("input, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (dialog.open) {
      if (by) stepLarge(by);
      if (event.key === "b") showLarge("");
      return;
    }
    if (event.key === "/") { event.preventDefault(); form.elements.text.focus(); }
    if (event.key === "n") turn(1);
    if (event.key === "p") turn(-1);
    const cards = [...list.querySelectorAll(".closer")], focused = cards.indexOf(document.activeElement);
    if (!by || focused < 0) return;
    at = focused;
    if (await step(by)) list.querySelectorAll(".closer")[at].focus();
  });

  return load();
}
