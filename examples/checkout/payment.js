// Stripe's part of the checkout: the card's data goes from Stripe's own frame to Stripe, never through the shop.
// https://docs.stripe.com/payments/finalize-payments-on-the-server

const LIBRARY = "https://js.stripe.com/v3/"; // Stripe allows to load it from there only

let stripe;
let card;

/** Show the card's form in a container. */
export async function mount(container) {
  await load(LIBRARY);
  stripe = window.Stripe(document.querySelector("meta[name=stripe-publishable-key]").content);
  card = stripe.elements().create("card", { hidePostalCode: true });
  card.mount(container);
}

/** Return the id of a PaymentMethod for the card: the order's payment token. */
export async function createPayment() {
  const { paymentMethod, error } = await stripe.createPaymentMethod({ type: "card", card });
  if (error) {
    throw new Error(error.message);
  }
  return paymentMethod.id;
}

/**
 * Let the customer confirm the payment at the bank (3-D Secure).
 *
 * A result with an error is no outcome of the order: the shop's API asks Stripe. Rejects if the payment waits no longer.
 * https://docs.stripe.com/js/payment_intents/handle_next_action
 */
export async function handleNextAction(clientSecret) {
  await stripe.handleNextAction({ clientSecret });
}

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("The payment form could not be loaded.")));
    script.src = address;
    document.head.append(script);
  });
}
