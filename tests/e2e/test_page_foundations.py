"""What the network stands on, by proposals that two operators sign at the pages of two nodes: contracts, CA roots, who
is admitted; and accounts for which several keys sign. One network and one browser for all."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from network import DEPOSIT, Network
from page_guests import SHARED_PAGE, at_length
from page_people import WAIT_MS, Visitor, at_page, fill
from playwright.async_api import Browser, Locator, expect

from ca.authority import Authority
from sdk import methods

pytestmark = [*SHARED_PAGE, at_length]
TARIFFS = Path(__file__).resolve().parents[2] / "examples" / "contracts" / "tariffs.py"


async def operators(browser: Browser, network: Network) -> tuple[Visitor, Visitor]:
    one = await at_page(browser, "operator1", network.operator.key, network.cluster, 0)
    two = await at_page(browser, "operator2", network.second_operator, network.cluster, 1)
    for visitor in (one, two):
        await visitor.go("operations")
    return one, two


async def signed_first(one: Visitor, panel: Locator, network: Network) -> None:
    await panel.get_by_label("Operator 2 who signs").select_option(network.second_operator.signer)
    await one.sign(panel)


async def decided(one: Visitor, two: Visitor, title: str) -> None:
    """What one has proposed the other signs last."""
    proposal = one.page.get_by_role("article", name=title)
    await expect(proposal).to_contain_text("not yet operator2", timeout=WAIT_MS)
    await two.sign_and_submit(await one.save_proposal(title), title)


async def test_two_of_two_keys_pay_out_of_an_account(page_network: Network, page_browser: Browser) -> None:
    mill, miller = await page_network.admit("mill", "prosumer", 0), await page_network.admit("miller", "prosumer", 1)
    one = await at_page(page_browser, "mill", mill.key, page_network.cluster, 0)
    two = await at_page(page_browser, "miller", miller.key, page_network.cluster, 1)
    for visitor in (one, two):
        await visitor.go("account")
    panel = await one.open_panel(one.page.get_by_role("button", name="Change who signs"))
    await fill(panel, keys=f"{mill.key.signer}, {miller.key.signer}", threshold=2)
    await one.sign(panel)
    title = "Change who signs for an account"
    await two.sign_and_submit(await one.save_proposal(title), title)
    await expect(one.page.get_by_text("2 of 2 keys sign payments")).to_be_visible(timeout=WAIT_MS)
    panel = await one.open_panel(one.page.get_by_role("button", name="Pay somebody"))
    await fill(panel, to=miller.key.signer, amount="1.5")
    await one.sign(panel)
    await one.photograph("account-signers")
    text = json.loads((await one.save_proposal("Pay somebody")).read_text(encoding="utf-8"))
    assert [each is None for each in text["signatures"]] == [False, True]
    await two.sign_and_submit(await one.save_proposal("Pay somebody"), "Pay somebody")
    params = methods.SignerParams(signer=miller.key.signer)
    row = await page_network.operator.client.call(methods.ACCOUNT, params)
    assert row.value["available"] == DEPOSIT + 1_500_000
    assert (one.faults, two.faults) == ([], [])


async def test_a_contract_is_deployed_and_upgraded(page_network: Network, page_browser: Browser) -> None:
    one, two = await operators(page_browser, page_network)
    panel = await one.open_panel(one.page.get_by_role("button", name="Deploy a contract"))
    await fill(panel, name="tariffs")
    await expect(panel.get_by_role("button", name="Sign")).to_be_disabled()
    await panel.get_by_label("Source, from a file").set_input_files(TARIFFS)
    await one.photograph("deploy")
    await signed_first(one, panel, page_network)
    await expect(one.page.get_by_role("article", name="Deploy a contract")).to_contain_text("SHA-256")
    await decided(one, two, "Deploy a contract")
    contracts = one.page.get_by_role("region", name="Contracts", exact=True)
    await expect(contracts).to_contain_text("tariffs", timeout=WAIT_MS)
    panel = await one.open_panel(one.page.locator('[data-key="upgrade-tariffs"]'))
    changed = TARIFFS.read_text(encoding="utf-8").replace("DAYS_MAX = 366", "DAYS_MAX = 365")
    await fill(panel, source=changed)
    await signed_first(one, panel, page_network)
    await decided(one, two, "Upgrade a contract")
    await expect(contracts).to_contain_text("version 2 from block", timeout=WAIT_MS)
    await one.photograph("contracts")
    assert (one.faults, two.faults) == ([], [])


async def test_a_root_is_accepted_and_admission_narrowed(
    page_network: Network, page_browser: Browser, tmp_path: Path
) -> None:
    other = Authority.init(tmp_path / "ca", "Grid South")
    pem = tmp_path / "south.pem"
    pem.write_bytes(other.certificate.public_bytes(Encoding.PEM))
    one, two = await operators(page_browser, page_network)
    panel = await one.open_panel(one.page.get_by_role("button", name="Accept a CA root"))
    await panel.get_by_label("Root certificate (PEM), from a file").set_input_files(pem)
    await signed_first(one, panel, page_network)
    await decided(one, two, "Accept a CA root")
    await expect(one.page.get_by_role("region", name="CA roots").get_by_role("row")).to_have_count(3, timeout=WAIT_MS)
    panel = await one.open_panel(one.page.locator('[data-key="admission"]'))
    await fill(panel, roles="prosumer, king")
    await expect(panel.get_by_role("button", name="Sign")).to_be_disabled()
    await fill(panel, roles="prosumer, buyer, seller", capacity_max_w=30_000)
    await signed_first(one, panel, page_network)
    await decided(one, two, "Change who is admitted")
    rule = {"organisations": [], "roles": ["prosumer", "buyer", "seller"], "zones": [], "capacity_max_w": 30_000}
    call = methods.ViewParams(contract="registry", function="get_admission", args={})
    assert (await page_network.operator.client.call(methods.VIEW, call)).value == rule
    await expect(one.page.get_by_text("prosumer, buyer, seller")).to_be_visible(timeout=WAIT_MS)
    await one.photograph("foundations")
    assert (one.faults, two.faults) == ([], [])
