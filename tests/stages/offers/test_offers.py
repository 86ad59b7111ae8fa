"""Stage 3 as a whole: two clients differ; deals alone are enough to run."""

from __future__ import annotations

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import offers_summary
from tests.conftest import MakeCompany
from tests.stages.offers.made_offers import Worked, sales, work


def test_two_clients_get_texts_and_figures_of_their_own(worked: Worked):
    final = collect(worked.final).set_index("client_id")
    one, other = final.loc["c005"], final.loc["c015"]

    assert (one["size"], other["size"]) == ("large", "small")
    assert (one["open_topic"], other["open_topic"]) == ("billing", "upgrade")
    assert "billing" in one["text"]
    assert "upgrade" in other["text"]
    assert one["product_text"] != other["product_text"]
    assert one["service_text"] != other["service_text"]
    assert all(one[name] != other[name] for name in ("expected_margin", "offer_cost", "net_gain"))


def test_deals_alone_give_packages_without_economics(make_company: MakeCompany):
    deals = sales()["deals"].drop(columns="cost")
    worked = work(make_company({"deals": deals}), cost_to_serve=[None], industry=[None], size_class=[None], owner=[None])
    final = collect(worked.final)

    assert all(isinstance(a, Unanswered) for a in (worked.penetration, worked.together, worked.white, worked.economics))
    assert final[["offer_cost", "net_gain", "next_product"]].isna().all(axis=None)
    assert final["text"].nunique() > len(final) / 3
    written = offers_summary.tables(worked.penetration, worked.together, worked.final, worked.plan)
    assert written["segment_packages"].table["clients"].sum() == len(final)
    assert written["product_pairs"].table.empty
