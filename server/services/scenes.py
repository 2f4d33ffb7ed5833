"""The counter, the codes that residents show there, and the news of it on their phones."""

from __future__ import annotations

from dataclasses import dataclass

from server.incentives.templates import TemplateService
from server.kit.crypto import Keyring
from server.scenes.counter import CounterService
from server.scenes.news import News
from server.scenes.showing import ShowingService
from server.scenes.tickets import TicketOffice
from server.services.ground import Ground


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """A coupon is shown, scanned and redeemed, and its resident hears of it."""

    showing: ShowingService
    news: News
    counter: CounterService


def wire_scenes(ground: Ground, templates: TemplateService) -> Scenes:
    """The counter and the resident's phone."""
    vault, clock, settings, news = ground.vault, ground.clock, ground.settings, News(ground.vault, ground.cache)
    return Scenes(
        showing=ShowingService(
            vault=vault,
            clock=clock,
            credential_key=ground.credential_key,
            code_prefix=settings.code_prefix,
            ttl_s=settings.credential_ttl_s,
        ),
        news=news,
        counter=CounterService(
            vault=vault,
            clock=clock,
            benefits=templates,
            tickets=TicketOffice(Keyring.parse(settings.ticket_keys)),
            news=news,
            failures=ground.counts,
            credential_key=ground.credential_key,
            code_prefix=settings.code_prefix,
            ticket_ttl_s=settings.ticket_ttl_s,
        ),
    )
