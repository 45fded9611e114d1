"""The contents of the mails, as plain text and as HTML. Text that customers have typed is escaped."""

from html import escape
from typing import TYPE_CHECKING, TypedDict

from shop import money

if TYPE_CHECKING:
    from shop.model import Customer, Order


class Mail(TypedDict):
    """The content of one mail."""

    subject: str
    text: str
    html: str


def confirmation(order: "Order", customer: "Customer") -> Mail:
    """Return the mail for an order that was placed."""
    return _mail(order, customer, "Your order is confirmed", "Thank you for your order. We will pack it soon.")


def cancellation(order: "Order", customer: "Customer") -> Mail:
    """Return the mail for an order that was cancelled."""
    news = "Your order was cancelled at your request. You were not charged, and the amount held is released."
    return _mail(order, customer, "Your order is cancelled", news)


def on_its_way(order: "Order", customer: "Customer") -> Mail:
    """Return the mail for a shipment that was packed."""
    return _mail(order, customer, "Your order is on its way", "Your order is packed and on its way to you.")


def address_changed(*, is_new: bool) -> Mail:
    """Return the mail for a changed e-mail address, for the new or the old one.

    It contains no text from the customer, as the addresses are not verified and may belong to another person.
    """
    title = "Your e-mail address was changed"
    if is_new:
        news = "We will use this address from now on. If you are not our customer, please contact us."
    else:
        news = "We will use another address from now on. If you did not change it, please contact us at once."
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
            *(f"  {item}: {price}" for item, price in rows),
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
        f"<tr><td>{escape(item)}</td><td align='right'>{escape(price)}</td></tr>"
        for item, price in [*rows, ("Total", total)]
    )
    body = (
        f"<p>Hello {escape(customer.name)},</p><p>{escape(news)}</p><table>{cells}</table>"
        f"<p>Ship to:<br>{'<br>'.join(map(escape, address))}</p><p>Order {escape(order.order_id)}</p>"
    )
    return Mail(subject=title, text=text, html=_page(title, body))


def _page(title: str, body: str) -> str:
    head = f"<head><meta charset='utf-8'><title>{escape(title)}</title></head>"
    return f"<!doctype html><html lang='en'>{head}<body>{body}</body></html>"
