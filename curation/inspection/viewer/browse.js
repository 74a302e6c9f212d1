const given = new URLSearchParams(location.search), fields = document.querySelector("#browser form").elements;
for (const [name, value] of given) if (fields[name]) fields[name].value = value;

function withPage(query, page) {
  if (page) query.set("page", page);
  return query;
}

browse({
  page: Math.max(0, Number(given.get("page")) || 0),
  picture: (sample, role) => `/pictures/${sample.row}/${role}`,
  remember: (query, page) => {
    const asked = withPage(new URLSearchParams(query), page);
    history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
  },
  find: async (query, page) => {
    const answer = await fetch(`/samples?${withPage(query, page)}`);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  },
});
