// Single keys of the review pages. They move the focus and decide nothing; all works without.
(() => {
  const help = document.getElementById("keys");
  if (!help) return;
  const listed = [...help.querySelectorAll("[data-keys-for]")];
  for (const row of listed) row.hidden = !document.querySelector(row.dataset.keysFor);
  // A page that nothing can be done on has no keys.
  if (listed.every((row) => row.hidden)) return;
  help.hidden = false;

  // Whoever speaks to the computer, or is used to other keys, turns them off (WCAG 2.1.4).
  const toggle = help.querySelector("[data-keys-off]");
  const isOff = () => localStorage.getItem("keys") === "off";
  const say = () => {
    toggle.textContent = isOff() ? toggle.dataset.keysOn : toggle.dataset.keysOff;
  };
  toggle.addEventListener("click", () => {
    localStorage.setItem("keys", isOff() ? "on" : "off");
    say();
  });
  say();

  const rows = () => [...document.querySelectorAll("[data-row-link]")];
  function step(by) {
    const links = rows();
    if (!links.length) return;
    const here = links.indexOf(document.activeElement);
    const next = here < 0 ? (by > 0 ? 0 : links.length - 1) : here + by;
    links[Math.max(0, Math.min(links.length - 1, next))].focus();
  }

  function go(target) {
    if (target.matches("details")) target.open = true;
    const inside = "input:not([type=hidden]), select, textarea, button, a[href]";
    const goal = target.matches(inside) ? target : target.querySelector(inside);
    (goal || target).focus();
    (goal || target).scrollIntoView({ block: "center" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const field = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (field && event.key === "Escape") field.blur();
    if (field || event.target.isContentEditable || isOff()) return;
    if (event.key === "?") {
      help.open = !help.open;
      if (help.open) help.querySelector("summary").focus();
    } else if (event.key === "j") {
      step(1);
    } else if (event.key === "k") {
      step(-1);
    } else {
      const target = /^[a-z]$/.test(event.key) && document.querySelector(`[data-key~="${event.key}"]`);
      if (!target) return;
      go(target);
    }
    event.preventDefault();
  });
})();
