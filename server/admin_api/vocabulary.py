"""The words that an editor of rules and segments may use, in one answer."""

from __future__ import annotations

from collections.abc import Mapping

from server.admin_api.schemas.vocabulary import AttributeWord, BandWord, FactWord, NamedCode, VocabularyReply
from server.incentives.rules import FACTS
from server.incentives.rules.catalogue import FactKind
from server.incentives.rules.parts import CONDITIONS, EFFECTS, TRIGGERS
from server.people import city_lists
from server.web.routing import Call, Callers, Reply, Router

router = Router(prefix="/api/admin/v1", tag="管理 · 词表")


@router.get(
    "/vocabulary",
    summary="规则与人群可用的词表",
    replies={200: VocabularyReply},
    caller=Callers.admin("campaign.read"),
)
async def show_vocabulary(call: Call) -> Reply:
    """Bands, towns, categories of merchants and interests of the city, kinds of facts with what they carry, and the
    parts of a rule. The city's lists are set by `chengxin set-lists`."""
    bands = await city_lists.bands_on(call.services.clock.today())
    return Reply.ok(
        VocabularyReply(
            bands=[BandWord(one.code, one.name, one.rank) for one in bands], towns=await city_lists.towns(),
            merchant_categories=_named(await city_lists.merchant_categories()),
            interests=_named(await city_lists.interests()), facts=[_fact(one) for one in FACTS.values()],
            triggers=_named(TRIGGERS), conditions=_named(CONDITIONS), effects=_named(EFFECTS),
        )
    )  # fmt: skip


def _named(names: Mapping[str, str]) -> list[NamedCode]:
    return [NamedCode(code, name) for code, name in names.items()]


def _fact(kind: FactKind) -> FactWord:
    attributes = [
        AttributeWord(code, one.name, one.type, None if one.unit is None else one.unit.name)
        for code, one in kind.attributes.items()
    ]
    return FactWord(kind.kind, kind.name, kind.happens, kind.source, attributes)
