// WebAuthn keys: adding one, and proving with one that somebody is there. Bytes travel in base64url.
"use strict";

{
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const ids = (keys) => (keys ?? []).map((key) => ({ ...key, id: bytes(key.id) }));

  const post = async (address, body, type) => {
    const answer = await fetch(address, { method: "POST", headers: { "content-type": type, accept: "application/json" }, body });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error?.reason ?? "The server did not answer.");
    return told;
  };
  const json = (address, body) => post(address, JSON.stringify(body), "application/json");

  // Has the key sign what the server asks.
  const sign = async (options) => {
    const asked = options.publicKey;
    const publicKey = { ...asked, challenge: bytes(asked.challenge), allowCredentials: ids(asked.allowCredentials) };
    const { id, response } = await navigator.credentials.get({ publicKey });
    return {
      id,
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
    };
  };

  const make = async (options) => {
    const asked = options.publicKey;
    const publicKey = {
      ...asked,
      challenge: bytes(asked.challenge),
      user: { ...asked.user, id: bytes(asked.user.id) },
      excludeCredentials: ids(asked.excludeCredentials),
    };
    const { response } = await navigator.credentials.create({ publicKey });
    return { clientDataJSON: text(response.clientDataJSON), attestationObject: text(response.attestationObject) };
  };

  const complain = (form, error) => {
    form.querySelector(".key-trouble")?.remove();
    const line = document.createElement("p");
    line.className = "wrong key-trouble";
    line.setAttribute("role", "alert");
    line.textContent = error.name === "NotAllowedError" ? "The key was not shown, or too late. Try again." : error.message;
    form.append(line);
  };

  const present = async (form) => {
    const code = form.querySelector("input[name=code]")?.value.trim();
    if (code) return { code };
    const box = form.querySelector("[data-key-answer]");
    if (!box) return null;
    const about = box.dataset.about;
    return { key: await sign(await json("/_clerestory/presence/_ask", about ? { about } : {})) };
  };

  // A form that wants a proof gets it from the key before it is sent, unless a code was typed.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const box = form.querySelector("[data-key-answer]");
    if (!box || box.value || form.querySelector("input[name=code]")?.value.trim()) return;
    event.preventDefault();
    const button = event.submitter;
    try {
      box.value = JSON.stringify((await present(form)).key);
      form.requestSubmit(button);
    } catch (error) {
      complain(form, error);
    }
  }, true);

  // Adds a key.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-add-key]")) return;
    event.preventDefault();
    try {
      const proof = await present(form);
      const answer = await make(await json("/_clerestory/factors/keys/_begin", proof ? { present: proof } : {}));
      await json("/_clerestory/factors/keys", { name: form.elements.name.value, ...answer });
      location.assign("/_ui/account?done=1");
    } catch (error) {
      complain(form, error);
    }
  }, true);

  // Logs in with the key of whoever typed name and password.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-log-in-key]");
    if (!button) return;
    const { form } = button;
    if (!form.reportValidity()) return;
    const body = new URLSearchParams({ name: form.elements.name.value, password: form.elements.password.value });
    try {
      const options = await post("/_ui/login/key", body.toString(), "application/x-www-form-urlencoded");
      form.elements.key.value = JSON.stringify(await sign(options));
      form.submit();
    } catch (error) {
      const isRefused = error.name !== "NotAllowedError";
      complain(form, isRefused ? new Error("Name or password is wrong, or there is no key for them here.") : error);
    }
  });

  if (window.PublicKeyCredential) document.documentElement.classList.add("has-keys");
}
