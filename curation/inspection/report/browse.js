const pairs = JSON.parse(document.querySelector("#pairs-data").textContent);
const PAGE_LENGTH = 12;

for (const pair of pairs) pair.searched = `${pair.caption}\n${pair.key}`.toLowerCase();

browse({
  unit: "pairs",
  picture: (pair, role) => `data:image/jpeg;base64,${pair[role]}`,
  find: async (query, page) => {
    const words = (query.get("text") ?? "").toLowerCase().split(/\s+/), split = query.get("split");
    const [low, high] = [Number(query.get("min") ?? 0), Number(query.get("max") ?? Infinity)];
    const found = pairs.filter((pair) => (!split || pair.split === split) && low <= pair.motion_px
      && pair.motion_px <= high && words.every((word) => pair.searched.includes(word)));
    return {
      total: found.length,
      pages: Math.ceil(found.length / PAGE_LENGTH),
      samples: found.slice(page * PAGE_LENGTH, (page + 1) * PAGE_LENGTH),
    };
  },
}).then(() => document.documentElement.classList.add("with-script"));
