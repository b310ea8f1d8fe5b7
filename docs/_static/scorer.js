/* What the search puts first: among pages that match alike, those that show how a thing is done. */
var Scorer = {
  score: (result) => {
    const page = result[0];
    const score = result[4];
    if (page.startsWith("howto/") && page !== "howto/index") return score + 5;
    if (page.startsWith("guides/") || page === "start") return score + 4;
    if (page === "changelog" || page === "coverage" || page.endsWith("/index")) return score - 4;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
