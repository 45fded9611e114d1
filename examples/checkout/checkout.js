// A shop's page: it lists products, places an order, lets the customer confirm the payment, and shows and cancels orders.
//
// The request of an order is kept, with its idempotency key, until the order has an outcome. So a page that is reloaded,
// or whose connection breaks, sends the same request again: it gets the same order, and nobody is charged twice.

import { call, patiently, Problem } from "./api.js";

const ATTEMPT = "checkout-attempt"; // in the browser's storage
const LATEST = 5; // orders to show

const find = (id) => document.getElementById(id);
const [form, reachForm, problemBox, statusBox, waitingBox] = ["order", "reach", "problem", "status", "waiting"].map(find);
let payment; // payment.js or sandbox.js
let catalog;
let waiting; // the 202 response of the order that waits for the customer
let redo; // what "Try again" does
let unreachable = false; // whether the order needs an address to write to
const seen = new Map(); // orders as responses have shown them: the list can be a moment older

// --- the order's request ---------------------------------------------------------------------------------------------

function kept() {
  return JSON.parse(localStorage.getItem(ATTEMPT));
}

function keep(order) {
  localStorage.setItem(ATTEMPT, JSON.stringify({ key: crypto.randomUUID(), order }));
}

function forget() {
  localStorage.removeItem(ATTEMPT);
  waiting = null;
  unreachable = false;
}

/** Return the chosen products as the API takes them. */
function lines() {
  const quantities = [...form.querySelectorAll("#products input")];
  return quantities.filter((input) => input.valueAsNumber > 0)
    .map((input) => ({ sku: input.name, quantity: input.valueAsNumber }));
}

function total() {
  const prices = Object.fromEntries(catalog.products.map((product) => [product.sku, product.unitPrice]));
  return lines().reduce((sum, line) => sum + line.quantity * prices[line.sku], 0);
}

/** Return the body of the request. `expectedTotal`: the customer pays what the page shows, or the order is refused. */
function orderOf(paymentToken) {
  const address = ["name", "street", "postalCode", "city", "country"].filter((name) => form.elements[name].value);
  return {
    lines: lines(),
    shippingAddress: Object.fromEntries(address.map((name) => [name, form.elements[name].value])),
    paymentToken,
    expectedTotal: total(),
    customerAction: true,
  };
}

// --- from the order to its outcome -----------------------------------------------------------------------------------

async function order() {
  if (!lines().length) {
    throw new Problem(0, { title: "Nothing chosen", detail: "Choose at least one product." });
  }
  keep(orderOf(await payment.createPayment()));
  if (await place()) {
    await act();
  }
}

/** Place the order; return whether the customer has to confirm the payment. */
async function place() {
  const { key, order } = kept();
  say("Placing your order ...");
  const answer = await patiently(() => call("POST", "/orders", { body: order, key }), say);
  return ended(answer);
}

/** Save the address to write to, then send the request that was refused without one, with the same key. */
async function reach() {
  say("Saving your address ...");
  const { name } = await ownProfile() ?? kept().order.shippingAddress;
  const body = { name, email: reachForm.elements.email.value };
  await patiently(() => call("PUT", "/me", { body }), say);
  unreachable = false;
  if (await place()) {
    await act();
  }
}

/** Return the customer's profile; null if there is none yet. */
async function ownProfile() {
  try {
    return (await patiently(() => call("GET", "/me"), say)).body;
  } catch (problem) {
    if (problem.name !== "no-profile") throw problem;
    return null;
  }
}

/** Let the customer confirm the payment, then let the API find out how that went. */
async function act() {
  say("Your bank asks you to confirm the payment.");
  try {
    await payment.handleNextAction(waiting.clientSecret);
  } catch (error) {
    console.info("The confirmation was interrupted:", error.message); // the order's state says what became of it
  }
  say("Asking how the payment went ...");
  ended(await patiently(() => call("POST", `/orders/${waiting.orderId}/confirm`), say));
}

/** Show an order as it is now; return whether it waits for the customer. */
function ended({ status, body }) {
  waiting = status === 202 ? body : null;
  if (waiting) {
    const until = new Date(body.expiresAt).toLocaleTimeString([], { timeStyle: "short" });
    find("waiting-text").textContent =
      `Order ${body.orderId}, ${price(body.total, body.currency)}, is reserved for you until ${until}. `
      + "It is placed once you have confirmed the payment.";
    say("The payment is not confirmed yet.");
    return true;
  }
  forget();
  form.reset();
  seen.set(body.orderId, body);
  const became = body.status === "CANCELLED" ? "cancelled" : "placed"; // cancelled meanwhile, on another page
  say(`Order ${body.orderId} is ${became}: ${price(body.total, body.currency)}.`);
  return false;
}

async function giveUp() {
  const { body } = await patiently(() => call("POST", `/orders/${waiting.orderId}/cancel`), say);
  forget();
  say(`Order ${body.orderId} is cancelled. Nothing was charged.`);
}

async function cancel(orderId) {
  const { body } = await patiently(() => call("POST", `/orders/${orderId}/cancel`), say);
  seen.set(body.orderId, body);
  say(`Order ${body.orderId} is cancelled.`);
}

// --- what the page shows ---------------------------------------------------------------------------------------------

function say(text) {
  statusBox.textContent = text;
}

function price(amount, currency) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** Do something while the buttons are off; then show its result, or its problem, and move the focus there. */
async function run(action, afterwards = afterProblem) {
  busy(true);
  problemBox.replaceChildren();
  redo = null;
  try {
    await action();
  } catch (error) {
    await afterwards(showProblem(error));
  }
  busy(false);
  show();
  await listOrders();
}

function showProblem(error) {
  const problem = error instanceof Problem ? error : new Problem(0, { title: "Payment", detail: error.message });
  say("");
  for (const [style, text] of [["title", problem.title], ["detail", problem.detail]]) {
    const line = problemBox.appendChild(document.createElement("p"));
    line.className = style;
    line.textContent = text;
  }
  return problem;
}

/** Forget the order if it has its outcome. Otherwise the customer can go on with the same request. */
async function afterProblem(problem) {
  if (unreachable) {
    return; // the address was not saved: the customer can correct it
  }
  if (!catalog) {
    redo = start; // nothing is known about an order yet
  } else if (problem.name === "no-address") {
    unreachable = true;
  } else if (problem.isFinal) {
    forget();
    if (["total-changed", "out-of-stock"].includes(problem.name)) {
      await listCatalog().catch(() => {}); // what the page shows is outdated
    }
  } else if (kept() && !waiting) {
    redo = resume;
  }
}

/** Go back to the form; nothing was reserved. */
async function change() {
  forget();
  say("");
}

/** Continue with the order that the page has kept. */
async function resume() {
  if (!waiting) {
    await place();
  }
}

function busy(is) {
  document.querySelectorAll("button").forEach((button) => { button.disabled = is; });
}

function show() {
  waitingBox.hidden = !waiting;
  find("unfinished").hidden = !redo;
  reachForm.hidden = !unreachable;
  form.hidden = Boolean(waiting || redo || unreachable) || !catalog;
  showTotal();
  const news = [problemBox, statusBox].find((box) => box.textContent);
  news?.focus();
}

function showTotal() {
  if (catalog) {
    find("total").textContent = price(total(), catalog.currency);
  }
}

/** Read all pages of the catalog; a large shop would show one page, or search. */
async function readCatalog() {
  const read = async (path) => (await patiently(() => call("GET", path), say)).body;
  const { next, ...found } = await read("/catalog");
  for (let cursor = next; cursor;) {
    const page = await read(`/catalog?cursor=${encodeURIComponent(cursor)}`);
    found.products.push(...page.products);
    cursor = page.next;
  }
  return found;
}

/** Show the catalog, with prices and stock as they are now; keep what the customer has chosen. */
async function listCatalog() {
  const chosen = new Map(lines().map((line) => [line.sku, line.quantity]));
  catalog = await readCatalog();
  find("products").replaceChildren(...catalog.products.map((product) => {
    const item = document.createElement("li");
    const label = item.appendChild(document.createElement("label"));
    label.htmlFor = `quantity-${product.sku}`;
    label.textContent = `${product.name}, ${price(product.unitPrice, catalog.currency)}`;
    const input = item.appendChild(document.createElement("input"));
    Object.assign(input, { id: label.htmlFor, name: product.sku, type: "number", min: 0, max: 100 });
    input.value = product.inStock ? chosen.get(product.sku) ?? 0 : 0;
    input.disabled = !product.inStock;
    label.append(product.inStock ? "" : " (out of stock)");
    return item;
  }));
}

async function listOrders() {
  let page;
  try {
    page = (await call("GET", `/orders?limit=${LATEST}`)).body;
  } catch {
    return; // the list is as it was
  }
  const missing = [...seen.values()].filter((one) => !page.orders.some((other) => other.orderId === one.orderId));
  find("orders").replaceChildren(...[...missing.reverse(), ...page.orders].map(orderItem));
}

function orderItem(listed) {
  const known = seen.get(listed.orderId);
  const { orderId, status, total: amount, currency } = known?.status === "CANCELLED" ? known : listed;
  const item = document.createElement("li");
  item.dataset.order = orderId;
  item.append(`${orderId}: ${status}, ${price(amount, currency)}`);
  if (status === "PLACED") {
    const button = item.appendChild(document.createElement("button"));
    Object.assign(button, { type: "button", className: "secondary", textContent: "Cancel" });
    button.setAttribute("aria-label", `Cancel order ${orderId}`);
    button.addEventListener("click", () => run(() => cancel(orderId), () => {}));
  }
  return item;
}

// --- start -----------------------------------------------------------------------------------------------------------

async function start() {
  if (!payment) {
    const provider = (await patiently(() => call("GET", "/health"), say)).body.paymentProvider;
    const part = await import(provider === "stripe" ? "./payment.js" : "./sandbox.js");
    await part.mount(find("card"), call);
    payment = part;
  }
  await listCatalog();
  say("");
  if (kept()) {
    await resume();
  }
}

form.addEventListener("input", showTotal);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(order);
});
reachForm.addEventListener("submit", (event) => {
  event.preventDefault();
  run(reach);
});
find("change").addEventListener("click", () => run(change));
find("act").addEventListener("click", () => run(act));
find("give-up").addEventListener("click", () => run(giveUp));
find("retry").addEventListener("click", () => run(redo));
run(start);
