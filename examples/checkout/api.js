// Requests to Handoff's API, and its problem documents (RFC 9457).

const API = document.querySelector("meta[name=api]").content;
const TOKEN = document.querySelector("meta[name=token]").content;
const TRIES = 4;
const LONGEST_PAUSE = 30; // seconds

/** A request that did not succeed. `title` and `detail` are for the customer. */
export class Problem extends Error {
  constructor(status, document, retryAfter = null) {
    super(document.detail ?? document.message ?? "The shop did not answer as expected. Try again.");
    this.status = status;
    this.title = document.title ?? "Something went wrong";
    this.name = (document.type ?? "").split(":").pop();
    this.retryAfter = retryAfter;
  }

  get detail() {
    return this.message;
  }

  /** Whether the order has its outcome with this: the same request would get the same answer. */
  get isFinal() {
    const goesOn = ["in-progress", "no-address"].includes(this.name);
    const refused = [400, 402, 404, 409, 413, 415, 422].includes(this.status) && !goesOn;
    return refused || this.name === "too-many-orders"; // but not the gateway's own 429
  }

  /** Whether the same request can succeed in a moment. */
  get passes() {
    return this.status === 0 || this.status >= 500 || this.name === "in-progress";
  }
}

let token = ""; // kept until a request fails with it

/** Return the header with the customer's token. In a shop, the library that signs customers in has the token. */
async function authorization() {
  if (!TOKEN) return {};
  if (!token) {
    const response = await fetch(TOKEN);
    if (!response.ok) throw new Error("no token");
    token = await response.text();
  }
  return { authorization: `Bearer ${token}` };
}

/** Send a request; return the status and the body of a successful response. A token that is refused is renewed once. */
export async function call(method, path, content = {}) {
  try {
    return await send(method, path, content);
  } catch (problem) {
    if (problem.status !== 401 || !token) throw problem;
    token = "";
    return send(method, path, content);
  }
}

async function send(method, path, { body, key }) {
  const headers = { accept: "application/json" };
  if (body) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let response;
  try {
    Object.assign(headers, await authorization());
    // no-cache: prices and stock are shown as they are now
    response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body), cache: "no-cache" });
  } catch {
    token = ""; // a gateway that refuses it may leave the CORS headers out, and then the page can't read why
    throw new Problem(0, { title: "No connection", detail: "The shop did not answer. Check your connection." });
  }
  const document = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Problem(response.status, document, Number(response.headers.get("retry-after")) || null);
  }
  return { status: response.status, body: document };
}

/** Send a request that is safe to repeat, and repeat it while that can help. `say` shows what happens. */
export async function patiently(request, say) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await request();
    } catch (problem) {
      const pause = problem.retryAfter ?? 2 ** (tries - 1);
      if (!problem.passes || tries === TRIES || pause > LONGEST_PAUSE) throw problem;
      say(`${problem.title}. Trying again in ${pause} s.`);
      await new Promise((resolve) => { setTimeout(resolve, pause * 1000); });
    }
  }
}
