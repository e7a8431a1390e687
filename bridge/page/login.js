/** The form that asks for the token. The token is sent once; what lets the reader in afterwards is a cookie that no script sees. */

import { h } from "./dom.js";

/** Show the form in `place`; `onOpen` once the server has let us in. */
export function ask(place, onOpen) {
  if (!place.hidden) return;
  const field = h("input", { id: "token", name: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", "aria-describedby": "token-help" });
  const trouble = h("p", { class: "trouble", role: "alert" });
  const button = h("button", { type: "submit" }, "Open the status page");
  const form = h(
    "form",
    { method: "post", action: "/login" },
    h("h1", { id: "login-title" }, "This status page asks for a token"),
    // For password managers, which keep nothing without a name.
    h("input", { type: "text", name: "username", autocomplete: "username", value: "bridged", readonly: true, hidden: true }),
    h("label", { for: "token" }, "Token"),
    field,
    h("p", { id: "token-help" }, "What ", h("code", {}, "token"), " in the section ", h("code", {}, "[status]"), " of the configuration refers to."),
    trouble,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    trouble.textContent = "";
    const answer = await login(field.value);
    button.disabled = false;
    if (answer === "") {
      place.replaceChildren();
      place.hidden = true;
      onOpen();
      return;
    }
    trouble.textContent = answer;
    field.setAttribute("aria-invalid", "true");
    field.select();
    field.focus();
  });
  place.replaceChildren(form);
  place.hidden = false;
  field.focus();
}

/** "" or why not, as a sentence. */
async function login(token) {
  try {
    const answer = await fetch("/login", { method: "POST", body: new URLSearchParams({ token }), signal: AbortSignal.timeout(10_000) });
    if (answer.ok) return "";
    if (answer.status === 429) {
      const wait = Number(answer.headers.get("Retry-After"));
      return `That is not the token, and too many were tried. Try again in ${wait > 0 ? `${wait} s` : "a minute"}.`;
    }
    if (answer.status === 401 || answer.status === 403) return "That is not the token of this daemon.";
    return `The daemon answered with ${answer.status}. Try again, or see its log.`;
  } catch {
    return "The daemon does not answer. Is it running?";
  }
}
