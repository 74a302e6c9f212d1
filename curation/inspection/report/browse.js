const pairs = JSON.parse(document.querySelector("#pairs-data").textContent);
const PAGE_LENGTH = 12;

for (const pair of pairs) pair.searchText = `${pair.caption}\n${pair.key}`.toLowerCase();

browse({
  unit: "pairs",
  pictureUrl: (pair, role) => `data:image/jpeg;base64,${pair[role]}`,
  findSamples: async (query, page) => {
    const words = (query.get("text") ?? "").toLowerCase().split(/\s+/), split = query.get("split");
    const [min, max] = [Number(query.get("min") ?? 0), Number(query.get("max") ?? Infinity)];
    const matches = pairs.filter((pair) => (!split || pair.split === split) && min <= pair.motion_px
      && pair.motion_px <= max && words.every((word) => pair.searchText.includes(word)));
    return {
      total: matches.length,
      pages: Math.ceil(matches.length / PAGE_LENGTH),
      samples: matches.slice(page * PAGE_LENGTH, (page + 1) * PAGE_LENGTH),
    };
  },
}).then(() => document.documentElement.classList.add("with-script"));
