/* Mounting: how far it is, the curves, the map and the strip; each is changed in place. */

export default function mount(component) {
  const { parentElement, data } = component;
  let host = Array.from(parentElement.children).find((child) => child.classList.contains("watch"));
  if (!host) {
    host = element(parentElement, "div", "watch");
    const bar = element(host, "div", "watch-bar", { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Steps done" });
    const done = element(bar, "i", "");
    const said = element(host, "p", "watch-said");
    const wait = element(host, "p", "watch-wait");
    wait.textContent = "The latent map and the reconstructions come after the first epoch.";
    const parts = [["map", createMap, "figure"], ["curves", createCurves, "div"], ["strip", createStrip, "div"]];
    host.parts = Object.fromEntries(parts.map(([name, create, tag]) => {
      const place = element(host, tag, `watch-${name}`);
      return [name, { place, ...create(place) }];
    }));
    host.show = (given) => {
      const percent = Math.round(100 * given.share);
      bar.setAttribute("aria-valuenow", percent);
      done.style.width = `${100 * given.share}%`;
      said.textContent = given.said;
      host.classList.toggle("watch-live", given.live);
      wait.hidden = Boolean(given.map) || !given.live;
      for (const name of ["map", "strip"]) host.parts[name].place.hidden = !given[name];
      host.parts.curves.place.hidden = !given.curves.epochs.length && !given.curves.at.length;
      host.parts.curves.update(given.curves);
      if (given.map) host.parts.map.update(given.map, given.epoch);
      if (given.strip) host.parts.strip.update(given.strip);
    };
  }
  host.show(data);
  // Streamlit also cleans up between two runs of the script; only what left the page is gone.
  return () => setTimeout(() => host.isConnected || Object.values(host.parts).forEach((part) => part.destroy()));
}
