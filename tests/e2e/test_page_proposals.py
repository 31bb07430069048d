"""Two operators change a parameter at the pages of two nodes: proposed and signed at one, signed and submitted at the
other; an operator admits who waits; a seller and a buyer come to terms by a counter-offer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from network import DEPOSIT, Network
from page_people import WAIT_MS, at_page, fact, fill, visit
from playwright.async_api import Browser, expect

from sdk import methods

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.needs("chromium"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    made = Network(tmp_path / "net")
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def test_two_operators_change_a_parameter(network: Network, browser: Browser) -> None:
    one = await at_page(browser, "operator1", network.operator.key, network.cluster, 0)
    two = await at_page(browser, "operator2", network.second_operator, network.cluster, 1)
    await one.go("operations")
    panel = await one.open_panel(one.page.locator('[data-key="parameter-fee_permille"]'))
    await fill(panel, value=12)
    await panel.get_by_label("Operator 2 who signs").select_option(network.second_operator.signer)
    await one.sign(panel)
    proposal = one.page.get_by_role("article", name="Change a parameter")
    await expect(proposal).to_contain_text("not yet operator2")
    file = await one.save_proposal("Change a parameter")
    await one.photograph("proposal")
    await two.go("operations")
    await two.sign_and_submit(file, "Change a parameter")
    terms = await network.operator.client.call(methods.TERMS, methods.Nothing())
    assert terms.parameters["fee_permille"] == 12
    assert (one.faults, two.faults) == ([], [])


async def test_a_proposal_that_was_tampered_with_is_not_taken_in(network: Network, browser: Browser) -> None:
    one = await at_page(browser, "operator1", network.operator.key, network.cluster, 0)
    await one.go("operations")
    panel = await one.open_panel(one.page.locator('[data-key="parameter-fee_permille"]'))
    await fill(panel, value=12)
    await one.sign(panel)
    text = (await one.save_proposal("Change a parameter")).read_text(encoding="utf-8")
    await one.page.get_by_role("button", name="Take in a proposal").click()
    await one.page.get_by_label("Text of the proposal").fill(text.replace('\\"value\\":12', '\\"value\\":900'))
    await one.page.get_by_role("button", name="Take in", exact=True).click()
    await expect(one.page.get_by_role("dialog").get_by_role("alert")).to_have_text("A signature on it is wrong.")


async def test_an_operator_admits_somebody_who_waits(network: Network, browser: Browser) -> None:
    operator = await at_page(browser, "operator1", network.operator.key, network.cluster, 0)
    applicant = await visit(browser, "Ada", network.cluster.rest_url("node1"))
    await applicant.apply("Wattquorum", "I buy electricity", code="")
    await expect(applicant.page.locator("[data-waiting]")).to_be_visible(timeout=WAIT_MS)
    await operator.go("operations")
    await operator.page.locator("#admissions-certificate").set_input_files(
        network.cluster.directory / "users" / "operator1.crt"
    )
    panel = await operator.open_panel(operator.page.get_by_role("button", name="Admit"))
    await operator.photograph("admit")
    await operator.sign(panel)
    await expect(applicant.page.get_by_role("heading", level=2, name="Ada")).to_be_visible(timeout=WAIT_MS)
    assert (operator.faults, applicant.faults) == ([], [])


async def test_an_offer_is_countered_and_accepted(network: Network, browser: Browser) -> None:
    sol, bea = await network.admit("sol", "seller", 0), await network.admit("bea", "buyer", 1)
    seller = await at_page(browser, "sol", sol.key, network.cluster, 0)
    buyer = await at_page(browser, "bea", bea.key, network.cluster, 1)
    interval = await network.interval()
    for visitor in (seller, buyer):
        await visitor.go("market")
        await visitor.choose(interval)
    panel = await seller.open_panel(seller.page.get_by_role("button", name="Offer to one party"))
    await fill(panel, to=bea.key.signer, energy_wh=1_000, price="0.25")
    assert await fact(panel, "Held by this") == "0.40"
    await seller.sign(panel)
    panel = await buyer.open_panel(buyer.page.get_by_role("button", name="Counter"))
    await fill(panel, price="0.2")
    assert await fact(panel, "Held by this") == "0.20"
    await buyer.sign(panel)
    panel = await seller.open_panel(seller.page.get_by_role("button", name="Accept"))
    assert await fact(panel, "You get, if all is delivered") == "0.20"
    await seller.photograph("accept")
    await seller.sign(panel)
    rows = await network.operator.client.documents(methods.TRADES)
    (trade,) = [row.value for row in rows.rows]
    assert (trade["price"], trade["source"], trade["status"]) == (200_000, "offer", "matched")
    held = [await account(network, person.key.signer) for person in (sol, bea)]
    assert held == [(DEPOSIT - 400_000, 400_000), (DEPOSIT - 200_000, 200_000)]
    assert (seller.faults, buyer.faults) == ([], [])


async def account(network: Network, signer: str) -> tuple[int, int]:
    row = await network.operator.client.call(methods.ACCOUNT, methods.SignerParams(signer=signer))
    return row.value["available"], row.value["held"]
