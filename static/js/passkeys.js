// Passkeys: the browser asks for one, the form carries the answer. A form says what it is:
//   data-passkey="create"   options in data-options; the answer is a new passkey
//   data-passkey="prove"    options in data-options; the answer is a passkey's signature
//   data-passkey="sign-in"  options are fetched from the form's own address when needed
(() => {
  const refused = new Set(["NotAllowedError", "AbortError"]);
  let waiting = null;

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const button = form.querySelector("[data-passkey-button]");
    if (!window.webauthnJSON || !webauthnJSON.supported()) {
      show(form, "unsupported");
      continue;
    }
    button.hidden = false;
    form.addEventListener("submit", (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      event.stopPropagation();
      ask(form);
    }, true);
    if (form.dataset.passkey === "sign-in") offer(form);
  }

  async function ask(form) {
    if (waiting) waiting.abort();
    waiting = null;
    hide(form);
    try {
      const options = await optionsOf(form);
      const answer = form.dataset.passkey === "create"
        ? await webauthnJSON.create(options)
        : await webauthnJSON.get(options);
      send(form, answer);
    } catch (error) {
      show(form, refused.has(error.name) ? "refused" : "failed");
    }
  }

  // The address field offers passkeys beside the addresses the browser remembers.
  async function offer(form) {
    const field = document.querySelector("input[autocomplete~=webauthn]");
    const isAble = window.PublicKeyCredential?.isConditionalMediationAvailable;
    if (!field || !isAble || !(await isAble.call(PublicKeyCredential))) return;
    field.addEventListener("focus", async () => {
      try {
        waiting = new AbortController();
        const options = await optionsOf(form);
        send(form, await webauthnJSON.get({
          ...options, mediation: "conditional", signal: waiting.signal,
        }));
      } catch {
        // Nobody asked for it: the button is still there.
      }
    }, { once: true });
  }

  async function optionsOf(form) {
    if (form.dataset.options) return JSON.parse(form.dataset.options);
    const response = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error("no options");
    return (await response.json()).request_options;
  }

  function send(form, answer) {
    form.elements.credential.value = JSON.stringify(answer);
    form.requestSubmit();
  }

  function show(form, name) {
    const note = form.querySelector(`[data-passkey-note="${name}"]`);
    if (note) note.hidden = false;
  }

  function hide(form) {
    for (const note of form.querySelectorAll("[data-passkey-note]")) note.hidden = true;
  }
})();
