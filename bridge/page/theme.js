// Before anything is painted: the reader's own choice of light or dark, where there is one.
// A classic script on purpose; modules run too late for that.
try {
  const chosen = localStorage.getItem("bridged-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing follows the system.
}
