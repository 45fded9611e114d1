"""The texts of the mails, as plain text and as HTML. Whatever a customer has typed is escaped."""

from html import escape
from typing import TYPE_CHECKING, TypedDict

from shop import money

if TYPE_CHECKING:
    from shop.model import Customer, Order


class Mail(TypedDict):
    """One mail's content."""

    subject: str
    text: str
    html: str


def confirmation(order: "Order", customer: "Customer") -> Mail:
    """The order stands."""
    return _mail(order, customer, "Your order is confirmed", "Thank you for your order. We are packing it.")


def cancellation(order: "Order", customer: "Customer") -> Mail:
    """The order is cancelled."""
    news = "Your order is cancelled, as you asked. Nothing was charged; the amount held is released."
    return _mail(order, customer, "Your order is cancelled", news)


def on_its_way(order: "Order", customer: "Customer") -> Mail:
    """The shipment is packed."""
    return _mail(order, customer, "Your order is on its way", "Your order is packed and on its way to you.")


def address_changed(*, is_new: bool) -> Mail:
    """The customer's address has changed; said at both, so that a stranger's change does not go unnoticed.

    Nobody has checked whose the addresses are, so there is nothing in it that the customer has typed.
    """
    title = "Your e-mail address was changed"
    if is_new:
        news = "From now on, we write to you at this address. If you are no customer of ours, please tell us."
    else:
        news = "From now on, we write to another address. If it was not you who changed it, please tell us at once."
    return Mail(subject=title, text=f"Hello,\n\n{news}\n", html=_page(title, f"<p>Hello,</p><p>{escape(news)}</p>"))


def _mail(order: "Order", customer: "Customer", title: str, news: str) -> Mail:
    rows = [
        (f"{line.quantity} x {line.name}", money.shown(line.quantity * line.unit_price, order.currency))
        for line in order.lines
    ]
    total = money.shown(order.total, order.currency)
    to = order.shipping_address
    address = [to.name, to.street, f"{to.postal_code} {to.city}", to.country]
    text = "\n".join(
        [
            f"Hello {customer.name},",
            "",
            news,
            "",
            *(f"  {what}: {price}" for what, price in rows),
            f"  Total: {total}",
            "",
            "Ship to:",
            *(f"  {line}" for line in address),
            "",
            f"Order {order.order_id}",
            "",
        ]
    )
    cells = "".join(
        f"<tr><td>{escape(what)}</td><td align='right'>{escape(price)}</td></tr>"
        for what, price in [*rows, ("Total", total)]
    )
    body = (
        f"<p>Hello {escape(customer.name)},</p><p>{escape(news)}</p><table>{cells}</table>"
        f"<p>Ship to:<br>{'<br>'.join(map(escape, address))}</p><p>Order {escape(order.order_id)}</p>"
    )
    return Mail(subject=title, text=text, html=_page(title, body))


def _page(title: str, body: str) -> str:
    head = f"<head><meta charset='utf-8'><title>{escape(title)}</title></head>"
    return f"<!doctype html><html lang='en'>{head}<body>{body}</body></html>"
