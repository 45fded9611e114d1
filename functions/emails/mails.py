"""The contents of the mails, as plain text and as HTML. Text that people have typed is escaped.

A mail may be sent long after its event. So it is worded by the order as it is when the mail is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, TypedDict

from shop.text import flattened

if TYPE_CHECKING:
    from languages import Language
    from shop.model import Address, Customer, Order, Refund, ReturnRequest, Units


class Mail(TypedDict):
    """The content of one mail."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells, as the law wants it in each mail: empty texts are left out.

    ``address`` has a line for each part that a semicolon ends. ``terms_url`` leads to the terms of the contract.
    """

    name: str = ""
    address: str = ""
    terms_url: str = ""

    @property
    def lines(self) -> list[str]:
        """The name and the lines of the address."""
        return [line for part in (self.name, *self.address.split(";")) if (line := flattened(part))]


@dataclass(frozen=True, slots=True)
class _Table:
    """Items, each with its amount or ""."""

    rows: Sequence[tuple[str, str]]

    def text(self) -> str:
        return "\n".join(f"  {item}: {amount}" if amount else f"  {item}" for item, amount in self.rows)

    def html(self) -> str:
        cells = (
            f"<tr><td>{escape(item)}</td><td align='right'>{escape(amount)}</td></tr>" for item, amount in self.rows
        )
        return f"<table>{''.join(cells)}</table>"


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """A sentence or more, and the indented lines below it."""

    sentence: str
    lines: Sequence[str] = ()

    def text(self) -> str:
        return "\n".join([self.sentence, *(f"  {line}" for line in self.lines)])

    def html(self) -> str:
        return f"<p>{'<br>'.join(map(escape, (self.sentence, *self.lines)))}</p>"


_Part = _Table | _Paragraph


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the mails of one seller in one language."""

    language: "Language"
    seller: Seller

    def confirmation(self, order: "Order", customer: "Customer") -> Mail:
        """Return the mail for an order that was placed."""
        say = self.language.say
        if order.released:
            state = say("It is on its way to you.")
        elif order.is_packed:
            state = say("It is packed.")
        else:
            state = say("We will pack it soon.")
        news = " ".join([say("Thank you for your order."), state])
        return self._order_mail(order, customer, say("Your order is confirmed"), [news, *self._refunds(order)])

    def cancellation(self, order: "Order", customer: "Customer") -> Mail:
        """Return the mail for an order that was cancelled. It makes only certain statements about the money."""
        say = self.language.say
        cancelled = order.cancellation
        if cancelled and cancelled.by == "shop":
            news = [
                say("We have cancelled your order."),
                say("Reason: {reason}", reason=flattened(cancelled.reason or "")),
            ]
        else:
            news = [say("Your order was cancelled at your request.")]
        news.append(self._money_of_cancelled(order))
        return self._order_mail(order, customer, say("Your order is cancelled"), news)

    def on_its_way(self, order: "Order", customer: "Customer") -> Mail:
        """Return the mail for a shipment that is packed and paid."""
        say = self.language.say
        news = [say("Your order is packed and on its way to you."), *self._refunds(order)]
        return self._order_mail(order, customer, say("Your order is on its way"), news)

    def refunded(self, order: "Order", customer: "Customer", refund: "Refund") -> Mail:
        """Return the mail for a refund that the provider has completed."""
        say = self.language.say
        amount = self.language.amount(refund.amount, order.currency)
        news = [say("We have refunded {amount} of your order.", amount=amount)]
        if not refund.elsewhere:  # a merchant gives no reason at the provider
            news.append(say("Reason: {reason}", reason=flattened(refund.reason)))
        news += self._refunds(order)
        parts: list[_Part] = [*_paragraphs(news), *_products(order, refund.lines), self._id(order)]
        return self._mail(say("Your refund"), customer.name, parts)

    def return_received(self, order: "Order", customer: "Customer", request: "ReturnRequest") -> Mail:
        """Return the mail that acknowledges the request to return products, with its content, date and time.

        Article 11a of Directive 2011/83/EU requires it: https://eur-lex.europa.eu/eli/dir/2023/2673/oj
        """
        say = self.language.say
        at = self.language.date_and_time(request.requested_at)
        news = [say("We received your request to return the products below on {time}.", time=at)]
        if request.reason:
            news.append(say("Your reason: {reason}", reason=flattened(request.reason)))
        if order.refundable:
            news.append(say("We refund them when they are back."))
        news += self._refunds(order)
        parts: list[_Part] = [*_paragraphs(news), *_products(order, request.lines), self._id(order)]
        return self._mail(say("We received your return request"), customer.name, parts)

    def address_changed(self, *, is_new: bool) -> Mail:
        """Return the mail for a changed e-mail address, for the new or the old one.

        It contains no text from the customer, as the addresses are not verified and may belong to another person.
        """
        say = self.language.say
        if is_new:
            news = say("We will use this address from now on. If you are not our customer, please contact us.")
        else:
            news = say("We will use another address from now on. If you did not change it, please contact us at once.")
        return self._mail(say("Your e-mail address was changed"), None, [_Paragraph(news)])

    def _money_of_cancelled(self, order: "Order") -> str:
        say, charged = self.language.say, self.language.amount(order.captured, order.currency)
        if order.is_voided:
            return say("You were not charged, and the amount held is released.")
        if order.is_captured and order.refunded < order.captured:
            return say("You had been charged {amount} already. We refund this amount.", amount=charged)
        if order.is_captured:
            return say("You had been charged {amount} already. We have refunded this amount.", amount=charged)
        if order.payment_due:
            return say("The amount held is released. If it was charged already, it is refunded.")
        return say("If you were charged, we refund the amount.")

    def _refunds(self, order: "Order") -> list[str]:
        """Return a sentence about the sum refunded so far, if anything is."""
        if not order.refunded:
            return []
        refunded, captured = (self.language.amount(n, order.currency) for n in (order.refunded, order.captured))
        return [self.language.say("Refunded so far: {refunded} of {captured}.", refunded=refunded, captured=captured)]

    def _order_mail(self, order: "Order", customer: "Customer", title: str, news: Sequence[str]) -> Mail:
        say, amount = self.language.say, self.language.amount
        rows = [
            (f"{line.quantity} x {flattened(line.name)}", amount(line.quantity * line.unit_price, order.currency))
            for line in order.lines
        ]
        table = _Table([*rows, (say("Total"), amount(order.total, order.currency))])
        address = _Paragraph(say("Ship to:"), self._address(order.shipping_address))
        parts: list[_Part] = [*_paragraphs(news), table, address, self._id(order)]
        if self.seller.terms_url:
            terms = say("The terms of your order, with your right of withdrawal: {url}", url=self.seller.terms_url)
            parts.append(_Paragraph(terms))
        return self._mail(title, customer.name, parts)

    def _address(self, to: "Address") -> list[str]:
        """Return the lines of an address, without empty ones."""
        say = self.language.say
        lines = [to.company, to.name, to.street, to.street2, f"{to.postal_code} {to.city}", to.region]
        shown = [flattened(line or "") for line in lines] + [self.language.country(to.country)]
        if to.phone:
            shown.append(say("Phone: {phone}", phone=flattened(to.phone)))
        if to.vat_id:
            shown.append(say("VAT ID: {vat_id}", vat_id=flattened(to.vat_id)))
        return [line for line in shown if line]

    def _id(self, order: "Order") -> _Paragraph:
        return _Paragraph(self.language.say("Order {order_id}", order_id=order.order_id))

    def _mail(self, title: str, name: str | None, parts: Sequence[_Part]) -> Mail:
        say, shown = self.language.say, flattened(name or "")
        greeting = say("Hello {name},", name=shown) if shown else say("Hello,")
        everything: list[_Part] = [_Paragraph(greeting), *parts]
        if self.seller.lines:
            everything.append(_Paragraph(say("Seller:"), self.seller.lines))
        text = "\n\n".join(part.text() for part in everything)
        head = f"<head><meta charset='utf-8'><title>{escape(title)}</title></head>"
        body = "".join(part.html() for part in everything)
        html = f"<!doctype html><html lang='{self.language.code}'>{head}<body>{body}</body></html>"
        return Mail(subject=title, text=f"{text}\n", html=html)


def _products(order: "Order", lines: Sequence["Units"]) -> list[_Table]:
    names = {line.sku: flattened(line.name) for line in order.lines}
    return [_Table([(f"{units.quantity} x {names[units.sku]}", "") for units in lines])] if lines else []


def _paragraphs(news: Sequence[str]) -> list[_Paragraph]:
    return [_Paragraph(sentence) for sentence in news]
