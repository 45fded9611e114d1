// The sandbox's counterpart of payment.js: cards that end in different ways, and a dialog that stands for the bank's page.

const CARDS = {
  tok_approve: "A card that pays at once",
  tok_action: "A card that you have to confirm at your bank",
  tok_action_fail: "A card whose bank refuses the confirmation",
  tok_action_abandon: "A card whose bank never finishes",
  tok_decline: "A card that is declined",
};

let call;

/** Show the choice of cards in a container. `request` sends a request to the shop's API. */
export async function mount(container, request) {
  call = request;
  for (const [token, text] of Object.entries(CARDS)) {
    const label = container.appendChild(document.createElement("label"));
    label.className = "choice";
    const input = label.appendChild(document.createElement("input"));
    Object.assign(input, { type: "radio", name: "card", value: token, checked: token === "tok_action" });
    label.append(` ${text}`);
  }
}

/** Return the token of the chosen card. */
export async function createPayment() {
  return document.querySelector("input[name=card]:checked").value;
}

/** Let the customer confirm the payment at the bank. It is not known here how that ends: the shop's API knows. */
export async function handleNextAction(clientSecret) {
  if (await confirmsAtBank()) {
    await call("POST", "/sandbox/actions", { body: { clientSecret } });
  }
}

/** Show the bank's page; return whether the customer confirms. Escape closes it as the second button does. */
function confirmsAtBank() {
  const dialog = document.body.appendChild(document.createElement("dialog"));
  dialog.setAttribute("aria-labelledby", "bank-title");
  dialog.innerHTML = `
    <h2 id="bank-title">Your bank (sandbox)</h2>
    <p>A shop wants to charge your card. No money is charged in the sandbox.</p>
    <form method="dialog" class="buttons">
      <button value="confirm">Confirm the payment</button>
      <button value="" class="secondary">Close without confirming</button>
    </form>`;
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "confirm");
      dialog.remove();
    });
    dialog.showModal();
  });
}
