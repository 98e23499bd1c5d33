// The desk's pages: what a passkey makes or signs here is computed here, and nothing is asked of elsewhere.

const page = document.body.dataset;
const at = (id) => document.getElementById(id);
const utf8 = (text) => new TextEncoder().encode(text);

function toBase64url(buffer) {
  const bytes = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64url(text) {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(bytes, (one) => one.charCodeAt(0));
}

async function sha256(text) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(text)));
}

function hex(bytes) {
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

async function post(path, body) {
  const headers = { "Content-Type": "application/json", "Accept-Language": document.documentElement.lang };
  const answer = await fetch(`/desk/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status === 204) return null;
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail);
  return content;
}

// The text's SHA-256 is the challenge: the passkey signs this text and no other.
async function signature(text) {
  const publicKey = { challenge: await sha256(text), rpId: page.rpId, userVerification: "required" };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return JSON.stringify({
    authenticator_data: toBase64url(response.authenticatorData),
    client_data: toBase64url(response.clientDataJSON),
    credential: toBase64url(rawId),
    signature: toBase64url(response.signature),
  });
}

// Run what a button does, once at a time, and say what went wrong.
function attempt(button, act) {
  return async (event) => {
    event.preventDefault();
    button.disabled = true;
    say("");
    try {
      await act();
    } catch (error) {
      say(error.name === "NotAllowedError" ? page.cancelled : error.message, true);
    } finally {
      button.disabled = false;
    }
  };
}

function signIn() {
  at("go").addEventListener("click", attempt(at("go"), async () => {
    const text = at("text").textContent;
    await post("sign-in", { text, signature: await signature(text) });
    const next = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
    location.assign(next.origin === location.origin ? next.href : "/");
  }));
}

function signOut() {
  at("go").addEventListener("click", attempt(at("go"), async () => {
    await post("sign-out", {});
    location.assign(`/desk/sign-in${location.search}`);
  }));
}

async function enrol() {
  window.addEventListener("hashchange", () => location.reload());
  const code = location.hash.slice(1);
  if (!code) return say(page.noCode, true);
  let options;
  try {
    options = await post("enrol/options", { code });
  } catch (error) {
    return say(error.message, true);
  }
  at("name").textContent = options.name;
  at("role").textContent = options.role;
  at("facts").hidden = false;
  at("go").disabled = false;
  at("go").addEventListener("click", attempt(at("go"), async () => {
    const made = await navigator.credentials.create({ publicKey: await wantedPasskey(options) });
    const { fingerprint } = await post("enrol", { code, origin: location.origin, response: registration(made) });
    at("fingerprint").textContent = fingerprint;
    at("done").hidden = false;
    at("go").hidden = true;
  }));
}

async function wantedPasskey(options) {
  return {
    rp: { id: options.rp_id, name: "Dos Votos" },
    user: { id: await sha256(options.name), name: options.name, displayName: options.name },
    challenge: fromBase64url(options.challenge),
    pubKeyCredParams: options.algorithms.map((alg) => ({ type: "public-key", alg })),
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    attestation: "none",
  };
}

function registration(made) {
  const response = {
    clientDataJSON: toBase64url(made.response.clientDataJSON),
    attestationObject: toBase64url(made.response.attestationObject),
  };
  return { id: toBase64url(made.rawId), rawId: toBase64url(made.rawId), type: made.type, response };
}

function sign() {
  const form = at("form");
  let wanted, text;
  form.addEventListener("input", () => { at("signing").hidden = true; });
  form.addEventListener("submit", attempt(form.querySelector("button"), async () => {
    const fields = new FormData(form);
    wanted = { action: page.action, about: page.about, reason: fields.get("reason").replaceAll("\r\n", "\n") };
    if (fields.has("stage")) wanted.stage = fields.get("stage");
    text = (await post("text", wanted)).text;
    const reason = hex(await sha256(wanted.reason));
    if (!text.includes(`\naction: ${page.action}\n`) || !text.includes(`\nreason: ${reason}\n`)) {
      throw new Error(page.changed);
    }
    at("text").textContent = text;
    at("hash").textContent = hex(await sha256(text));
    at("signing").hidden = false;
    at("text").focus();
  }));
  at("go").addEventListener("click", attempt(at("go"), async () => {
    const shown = at("text").textContent;
    const done = await post("decide", { wanted, text: shown, signature: await signature(shown) });
    at("signing").hidden = true;
    form.hidden = true;
    say(done.said);
  }));
}

for (const link of document.querySelectorAll("[data-keep-hash]")) {
  link.addEventListener("click", () => { link.hash = location.hash; });
}
const pages = { "sign-in": signIn, "sign-out": signOut, enrol, sign };
if (window.PublicKeyCredential && window.isSecureContext) pages[page.page]();
else if (page.page === "sign-out") signOut();
else say(page.noPasskeys, true);
