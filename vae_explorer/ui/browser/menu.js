// Closes the menu of a phone once a page is chosen in it: it would cover that page.

(() => {
  if (window.vaeMenuCloses) return;
  window.vaeMenuCloses = true;
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-testid=stSidebarNavLink]")) return;
    if (!window.matchMedia("(max-width: 768px)").matches) return;
    setTimeout(() => document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click());
  });
})();
