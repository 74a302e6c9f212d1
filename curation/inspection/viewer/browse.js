const parameters = new URLSearchParams(location.search), fields = document.querySelector("#browser form").elements;
for (const [name, value] of parameters) if (fields[name]) fields[name].value = value;

function withPage(query, page) {
  if (page) query.set("page", page);
  return query;
}

browse({
  page: Math.max(0, Number(parameters.get("page")) || 0),
  pictureUrl: (sample, role) => `/pictures/${sample.row}/${role}`,
  saveQuery: (query, page) => {
    const saved = withPage(new URLSearchParams(query), page);
    history.replaceState(null, "", saved.size ? `?${saved}` : location.pathname);
  },
  findSamples: async (query, page) => {
    const response = await fetch(`/samples?${withPage(query, page)}`);
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  },
});
