"""Who calls and who accepts: sessions, residents, administrators, merchants."""

from __future__ import annotations

from dataclasses import dataclass

from server.incentives.asked import AskedFacts
from server.incentives.facts import record_fact
from server.merchants.service import MerchantService
from server.people.administrators import AdministratorService
from server.people.choices import ChoiceService
from server.people.residents import ResidentService
from server.people.sessions import SessionService
from server.services.ground import Ground


@dataclass(frozen=True, kw_only=True)
class People:
    """Who may call, and for whom."""

    sessions: SessionService
    residents: ResidentService
    choices: ChoiceService
    administrators: AdministratorService
    merchants: MerchantService


def wire_people(ground: Ground) -> People:
    """The rooms of people and merchants."""
    settings, clock, envelope, index = ground.settings, ground.clock, ground.envelope, ground.index
    sessions = SessionService(
        clock=clock,
        wechat=ground.wechat,
        wallet=ground.vault,
        envelope=envelope,
        index=index,
        keys=ground.token_keys,
        access_ttl_s=settings.access_ttl_s,
        refresh_ttl_s=settings.refresh_ttl_s,
        record_fact=record_fact,
        asks_for=AskedFacts(clock=clock).asks,
    )
    return People(
        sessions=sessions,
        residents=ResidentService(
            clock=clock,
            wechat=ground.wechat,
            real_name=ground.real_name,
            wallet=ground.vault,
            record_fact=record_fact,
            envelope=envelope,
            index=index,
        ),
        choices=ChoiceService(clock=clock),
        administrators=AdministratorService(clock=clock, sessions=sessions, envelope=envelope, index=index),
        merchants=MerchantService(
            clock=clock,
            vault=ground.vault,
            sessions=sessions,
            envelope=envelope,
            index=index,
            keys=ground.token_keys,
            access_ttl_s=settings.access_ttl_s,
        ),
    )
