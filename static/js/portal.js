// What scripts add: focus, one submission at a time, menus that close, the tab in sight. Every page works without.
(() => {
  // Where the browser has not followed autofocus by itself.
  addEventListener("load", () => {
    requestAnimationFrame(() => {
      const summary = document.querySelector(".error-summary");
      if (summary && document.activeElement === document.body) summary.focus();
    });
  });

  // On narrow screens, the tab one is on is in sight.
  for (const tabs of document.querySelectorAll(".tabs")) {
    const here = tabs.querySelector("[aria-current]");
    if (here && tabs.scrollWidth > tabs.clientWidth) {
      const edges = [here.getBoundingClientRect(), tabs.getBoundingClientRect()];
      tabs.scrollLeft = edges[0].right - edges[1].right;
    }
  }

  // A form is sent once; coming back by the browser's history makes it usable again.
  const busy = new Set();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    if (busy.has(form)) {
      event.preventDefault();
      return;
    }
    busy.add(form);
    const button = event.submitter;
    if (button) button.setAttribute("aria-busy", "true");
    setTimeout(() => release(form), 10000);
  });
  function release(form) {
    busy.delete(form);
    for (const button of document.querySelectorAll('[aria-busy="true"]')) {
      if (button.form === form) button.removeAttribute("aria-busy");
    }
  }
  addEventListener("pageshow", () => [...busy].forEach(release));

  // One menu is open at a time; Escape and a click elsewhere close it.
  const openMenus = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("focusout", (event) => {
    const menu = event.target.closest("details.menu[open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) {
      menu.open = false;
    }
  });

  // <div id="plan" data-poll="3">: looks again every so many seconds, while it says so.
  // Who reads, types or unfolds something in it is left alone. The heading goes along. It
  // says of itself that nobody asked: a page that is only open does not keep its session
  // awake.
  const watched = document.querySelector("[data-poll][id]");
  if (watched) lookAgain(watched);
  function lookAgain(part) {
    setTimeout(async () => {
      let next = part;
      try {
        const isBusy =
          document.hidden ||
          part.contains(document.activeElement) ||
          part.querySelector("details[open]");
        if (!isBusy) {
          const answer = await fetch(location.href, {
            credentials: "same-origin",
            headers: { "X-Looks-Again": "1" },
          });
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          next = page.getElementById(part.id);
          if (!answer.ok || answer.redirected || !next) return location.reload();
          part.replaceWith(next);
          const head = document.querySelector(".page-head");
          if (!head.contains(document.activeElement))
            head.replaceWith(page.querySelector(".page-head"));
          document.title = page.title;
        }
      } catch {
        next = part;
      }
      if (next.dataset.poll) lookAgain(next);
    }, part.dataset.poll * 1000);
  }

  // <p data-count="Chosen: {n}. Ready: {ready}." data-of="form"> counts the form's ticks.
  for (const line of document.querySelectorAll("[data-count]")) {
    const form = document.getElementById(line.dataset.of);
    const before = line.textContent;
    const count = () => {
      const ticked = [...form.elements].filter((one) => one.checked);
      const ready = ticked.filter((one) => "ready" in one.dataset);
      line.textContent = ticked.length
        ? line.dataset.count.replace("{n}", ticked.length).replace("{ready}", ready.length)
        : before;
    };
    document.addEventListener("change", (event) => event.target.form === form && count());
    addEventListener("pageshow", count);
  }

  // <button type="button" data-copy="#receipt" hidden>Copy</button>
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.querySelector(button.dataset.copy);
    if (!source || !navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = button.dataset.copied || button.textContent;
    });
  }
})();
