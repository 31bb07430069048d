"""Two of three keys sign for an account: what its owner lists, takes or orders waits at the node until another key has
signed it at a page of its own."""

from __future__ import annotations

from network import Network, Person
from page_guests import CHECKS, SHARED_PAGE, TOO_WIDE, at_length
from page_people import WAIT_MS, Visitor, at_page, fill
from playwright.async_api import Browser, expect

from sdk import methods

pytestmark = [*SHARED_PAGE, at_length]
NODE = 1


async def together(network: Network, name: str, role: str) -> tuple[Person, Person]:
    """Somebody whose account two of three keys sign for, and the third of them."""
    owner, absent, other = [await network.admit(f"{name}{number}", role, 0) for number in range(3)]
    keys = [each.key.signer for each in (owner, absent, other)]
    policy = {"account": owner.key.signer, "keys": keys, "threshold": 2}
    await owner.invoke("credit", "set_policy", policy, co_signers=[absent.key, other.key])
    return owner, other


async def at(network: Network, browser: Browser, name: str, person: Person, view: str) -> Visitor:
    visitor = await at_page(browser, name, person.key, network.cluster, NODE)
    await visitor.go(view)
    return visitor


async def begun(visitor: Visitor, button: str, cosigner: Person, **values: object) -> None:
    """An act that another key signs too; it waits, and holds nothing yet."""
    panel = await visitor.open_panel(visitor.page.get_by_role("button", name=button, exact=True))
    await fill(panel, **values)
    await panel.get_by_label("Key 1 that signs too").select_option(cosigner.key.signer)
    await expect(panel).to_contain_text("1 more sign it then")
    await visitor.photograph(f"cosigned-{button.lower()}")
    await visitor.sign(panel)


async def finished(visitor: Visitor, title: str, *texts: str) -> None:
    """Sign what waits, having read what it is, by keyboard; this signature is the last."""
    waiting = visitor.page.get_by_role("article", name=title)
    for text in texts:
        await expect(waiting).to_contain_text(text, timeout=WAIT_MS)
    await visitor.photograph(f"waits-{title.lower().replace(' ', '-')}")
    for step in ("Sign", "Submit"):
        await waiting.get_by_role("button", name=step).focus(timeout=WAIT_MS)
        await visitor.page.keyboard.press("Enter")
        await expect(waiting.get_by_role("button", name=step)).to_have_count(0, timeout=WAIT_MS)
    await expect(waiting).to_have_count(0, timeout=WAIT_MS)


async def readable(visitor: Visitor) -> None:
    """In the dark, on a phone, and in the other language too, in which nothing is left in English."""
    page = visitor.page
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 360, "height": 780})
    for language, title in (("简体中文", "下单"), ("English", "Place an order")):
        await page.get_by_role("button", name=language).click()
        waiting = page.get_by_role("article", name=title).first
        await expect(waiting).to_be_visible(timeout=WAIT_MS)
        assert (await page.evaluate(TOO_WIDE), await page.evaluate(CHECKS)) == ([], [])
        await visitor.photograph(f"waits-phone-{language}")
    await page.set_viewport_size({"width": 1280, "height": 900})


async def test_what_an_account_of_two_keys_lists_and_takes(page_network: Network, page_browser: Browser) -> None:
    network = page_network
    sol, ray = await together(network, "sol", "seller")
    bea, ben = await together(network, "bea", "buyer")
    interval = await network.interval()
    seller = await at(network, page_browser, "sol0", sol, "market")
    await seller.choose(interval)
    await begun(seller, "List energy", ray, energy_wh=1_000, price="0.25")
    mine = seller.page.get_by_role("article", name="List energy")
    await expect(mine).to_contain_text("It waits at this node", timeout=WAIT_MS)
    second = await at(network, page_browser, "sol2", ray, "settlement")
    await finished(second, "List energy", "1,000 Wh", "0.2500 per kWh", "0.25")
    await expect(mine).to_have_count(0, timeout=WAIT_MS)
    buyer = await at(network, page_browser, "bea0", bea, "market")
    await buyer.choose(interval)
    await begun(buyer, "Take", ben)
    other = await at(network, page_browser, "bea2", ben, "account")
    await finished(other, "Take a listing", "1,000 Wh", "0.2500 per kWh")
    (row,) = (await network.operator.client.documents(methods.TRADES)).rows
    assert (row.value["seller"], row.value["buyer"]) == (sol.key.signer, bea.key.signer)
    assert [each.faults for each in (seller, second, buyer, other)] == [[]] * 4


async def test_what_waits_is_discarded_and_its_number_is_not_used_again(
    page_network: Network, page_browser: Browser
) -> None:
    """After a reload of the page the next act had the nonce of what waits, and made it worthless."""
    owner, other = await together(page_network, "kim", "buyer")
    visitor = await at(page_network, page_browser, "kim0", owner, "market")
    await visitor.choose(await page_network.interval())
    await begun(visitor, "Bid", other, energy_wh=100, price="0.1")
    await visitor.page.reload()
    await begun(visitor, "Bid", other, energy_wh=200, price="0.1")
    second = await at(page_network, page_browser, "kim2", other, "settlement")
    cards = second.page.get_by_role("article", name="Place an order")
    await expect(cards).to_have_count(2, timeout=WAIT_MS)
    await readable(second)
    await cards.filter(has_text="200 Wh").get_by_role("button", name="Discard").click()
    await expect(cards).to_have_count(1, timeout=WAIT_MS)
    await finished(second, "Place an order", "100 Wh", "Bid (buy)")
    rows = (await owner.client.documents(methods.ORDERS)).rows
    assert [row.value["energy_wh"] for row in rows] == [100]
    assert (visitor.faults, second.faults) == ([], [])
