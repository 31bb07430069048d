"""The page in a real browser: keys and registering, verifying, and what a lying node is caught at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lying_node import Elsewhere, Liar
from network import Network
from page_guests import NOT_LOOPBACK, SHARED_PAGE, at_length, go, url, verified
from page_people import PASSPHRASE, WAIT_MS, visit
from playwright.async_api import Browser, Page, expect

from ca.authority import Authority
from ca.backup import backup_of
from ca.certificates import Role

pytestmark = SHARED_PAGE
IS_EXTRACTABLE = """async () => {
  const asked = (request) => new Promise((done) => { request.onsuccess = () => done(request.result); });
  const opened = await asked(indexedDB.open("wattquorum"));
  const kept = await asked(opened.transaction("kept").objectStore("kept").get("identity"));
  opened.close();
  const read = crypto.subtle.exportKey("pkcs8", kept.privateKey).then(() => true, () => false);
  return [kept.privateKey.extractable, await read];
}"""


def code_for(network: Network, name: str, role: Role) -> str:
    return Authority.open(network.cluster.directory / "ca").new_admission_code(role, name)


def liar_of(network: Network) -> Liar:
    """The first node, whose keeper has it lie at the other address that it is known by."""
    return Liar(url(network), network.cluster.section("node1").addresses[0])


async def alarmed(page: Page, code: str) -> str:
    alarm = page.locator(f"#alarm [data-alarm={code}]")
    await expect(alarm).to_be_visible(timeout=WAIT_MS)
    return await alarm.inner_text()


# -------------------------------------------------------------------------------------------------- registering


async def test_somebody_registers_and_comes_back_with_the_backup_in_another_browser(
    page_network: Network, page_browser: Browser
) -> None:
    mei = await visit(page_browser, "Mei Chen", url(page_network))
    backup = await mei.register("Wattquorum", "I buy electricity", code_for(page_network, "Mei Chen", Role.BUYER))
    await mei.photograph("register-member")
    assert await mei.page.evaluate(IS_EXTRACTABLE) == [False, False]
    signer = await mei.signer()
    text = backup.read_text(encoding="utf-8")
    assert json.loads(text)["signer"] == signer
    assert json.loads(text)["kdf"]["iterations"] >= 600_000
    again = await visit(page_browser, "Mei Chen", url(page_network, 3))
    await again.restore(backup)
    await expect(again.page.get_by_role("heading", level=2, name="Mei Chen")).to_be_visible(timeout=WAIT_MS)
    assert await again.signer() == signer
    assert await again.page.evaluate(IS_EXTRACTABLE) == [False, False]


@at_length
async def test_a_wrong_passphrase_and_a_damaged_backup_restore_nothing(
    page_network: Network, page_browser: Browser, tmp_path: Path
) -> None:
    ada = await visit(page_browser, "Ada", url(page_network))
    page = ada.page
    await go(ada, "register")
    await page.get_by_role("button", name="Make my key").click()
    await page.get_by_label("Passphrase", exact=True).fill("short")
    await page.get_by_role("button", name="Save the backup").click()
    await expect(page.get_by_text("Take at least 12 characters")).to_be_visible()
    await page.get_by_label("Passphrase", exact=True).fill(PASSPHRASE)
    await page.get_by_label("The passphrase again").fill("another one entirely")
    await page.get_by_role("button", name="Save the backup").click()
    await expect(page.get_by_text("The two passphrases differ")).to_be_visible()
    await page.get_by_label("The passphrase again").fill(PASSPHRASE)
    async with page.expect_download(timeout=WAIT_MS) as saving:
        await page.get_by_role("button", name="Save the backup").click()
    backup = json.loads((await (await saving.value).path()).read_text(encoding="utf-8"))
    other = await visit(page_browser, "Ada", url(page_network))
    damaged = {**backup, "signer": "0" * 64}
    few = {**backup, "kdf": {**backup["kdf"], "iterations": 1_000}}
    tried: list[tuple[Any, str, str]] = [
        (backup, "not the passphrase", "The passphrase is wrong"),
        (damaged, PASSPHRASE, "The passphrase is wrong"),
        (few, PASSPHRASE, "This is no backup of a key"),
        ([], PASSPHRASE, "This is no backup of a key"),
    ]
    for number, (tree, passphrase, said) in enumerate(tried):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(tree), encoding="utf-8")
        await go(other, "register")
        await other.page.reload()
        await other.page.locator("#backup-file").set_input_files(file)
        await other.page.get_by_label("Passphrase", exact=True).fill(passphrase)
        await other.page.get_by_role("button", name="Restore").click()
        await expect(other.page.get_by_text(said)).to_be_visible(timeout=WAIT_MS)
    assert await other.page.get_by_role("button", name="Make my key").is_visible()


async def test_over_plain_http_from_elsewhere_the_page_says_why_there_are_no_keys(
    page_network: Network, page_browser: Browser
) -> None:
    address = url(page_network).replace("127.0.0.1", NOT_LOOPBACK)
    guest = await visit(page_browser, "guest", address)
    await go(guest, "register")
    await expect(guest.page.locator("[data-obstacle=insecure]")).to_contain_text("plain HTTP")
    await expect(guest.page.locator("#strip")).to_contain_text("Not verified: this connection is not secure")
    await guest.photograph("register-insecure")
    await go(guest, "explorer")
    await expect(guest.page.locator("#main")).to_contain_text("nothing here is verified")


# --------------------------------------------------------------------------------------------------- verifying


async def test_the_page_verifies_blocks_by_itself_under_the_genesis_that_it_trusts(
    page_network: Network, page_browser: Browser
) -> None:
    guest = await visit(page_browser, "guest", url(page_network))
    await go(guest, "explorer")
    await verified(guest.page)
    await expect(guest.page.locator("svg[data-round]")).to_be_visible(timeout=WAIT_MS)
    await expect(guest.page.locator("table .chip.good.dot").first).to_have_text("verified", timeout=WAIT_MS)
    await guest.photograph("explorer")
    await go(guest, "explorer/block/3")
    await expect(guest.page.locator("[data-proof=good]")).to_contain_text("3 of 4 validators signed", timeout=WAIT_MS)
    await guest.photograph("explorer-block")
    await go(guest, "explorer/trust")
    fingerprint = guest.page.locator("[data-fingerprint]")
    assert await fingerprint.get_attribute("data-fingerprint") == page_network.genesis.chain_id.hex()
    await guest.photograph("explorer-trust")


# -------------------------------------------------------------------------------------------------------- lies


def other_time(answer: Any) -> Any:
    """Another block than the one that was certified."""
    answer["proof"]["header"][5] += 1
    return answer


def other_signature(answer: Any) -> Any:
    signatures = answer["proof"]["certificate"][2]
    signatures[0][1], signatures[1][1] = signatures[1][1], signatures[0][1]
    return answer


def too_few(answer: Any) -> Any:
    answer["proof"]["certificate"][2] = answer["proof"]["certificate"][2][:2]
    return answer


@at_length
@pytest.mark.parametrize("lie", [other_time, other_signature, too_few])
async def test_a_forged_block_is_caught_by_page_files_from_elsewhere(
    page_network: Network, page_browser: Browser, lie: Any
) -> None:
    async with liar_of(page_network) as liar, Elsewhere(liar.address) as elsewhere:
        guest = await visit(page_browser, "guest", elsewhere.address)
        await go(guest, "explorer")
        await verified(guest.page)  # as long as it is honest, all is well
        assert await guest.page.locator("#alarm > *").count() == 0
        liar.lies["/v1/certificates/"] = lie
        assert "This node lies" in await alarmed(guest.page, "FORGED")
        await expect(guest.page.locator("#strip .chip.bad")).to_be_visible()
        await guest.photograph(f"alarm-{lie.__name__}")
        assert liar.told


async def test_a_forged_receipt_is_caught_by_page_files_from_elsewhere(
    page_network: Network, page_browser: Browser, tmp_path: Path
) -> None:
    """Alice looks at a transaction of hers; her backup was made outside the page, as its format is no secret."""

    def other_outcome(answer: Any) -> Any:
        answer["proof"]["result"][1] = "REFUSED"
        return answer

    alice = page_network.people[-1]
    done = alice.acknowledged[0]
    async with liar_of(page_network) as liar, Elsewhere(liar.address) as elsewhere:
        visitor = await visit(page_browser, "alice", elsewhere.address)
        backup = tmp_path / "alice.json"
        backup.write_text(backup_of(alice.key, PASSPHRASE), encoding="utf-8")
        await visitor.restore(backup)
        await expect(visitor.page.get_by_role("heading", level=2, name="alice")).to_be_visible(timeout=WAIT_MS)
        await visitor.photograph("member")
        assert await visitor.page.evaluate(IS_EXTRACTABLE) == [False, False]
        await go(visitor, f"explorer/tx/{done}")
        await expect(visitor.page.locator("[data-proof=good]")).to_contain_text("Its outcome is OK", timeout=WAIT_MS)
        await visitor.photograph("explorer-transaction")
        liar.lies["/v1/receipts/"] = other_outcome
        await visitor.page.reload()
        await expect(visitor.page.locator("[data-proof=bad]")).to_contain_text("proves nothing", timeout=WAIT_MS)
        assert "receipt" in await alarmed(visitor.page, "FORGED")
        await visitor.photograph("alarm-receipt")


async def test_a_forged_receipt_registers_nobody(page_network: Network, page_browser: Browser) -> None:
    def succeeded(answer: Any) -> Any:
        answer["receipt"]["result"][2] = "All is well."
        return answer

    async with liar_of(page_network) as liar, Elsewhere(liar.address) as elsewhere:
        eve = await visit(page_browser, "Eve", elsewhere.address)
        liar.lies["/v1/transactions"] = succeeded
        page = eve.page
        await go(eve, "register")
        await page.get_by_role("button", name="Make my key").click()
        await page.get_by_role("button", name="Go on without a backup").click()
        await page.get_by_label("Name").fill("Eve")
        await page.get_by_label("Organisation").fill("Wattquorum")
        await page.get_by_text("I sell electricity", exact=True).click()
        await page.get_by_label("Code").fill(code_for(page_network, "Eve", Role.SELLER))
        await page.locator("form button[type=submit]").click()
        assert "receipt" in await alarmed(page, "FORGED")
        await expect(page.locator("[data-entering] .notice.bad")).to_contain_text("proves nothing")
        await eve.photograph("alarm-receipt")
        assert liar.told == ["/v1/transactions"]


@at_length
async def test_another_block_at_a_height_that_was_verified_is_caught(
    page_network: Network, page_browser: Browser
) -> None:
    def swapped(answer: Any) -> Any:
        for header in answer["headers"]:
            header["hash"] = "0" * 64
        return answer

    async with liar_of(page_network) as liar, Elsewhere(liar.address) as elsewhere:
        guest = await visit(page_browser, "guest", elsewhere.address)
        await go(guest, "explorer")
        await expect(guest.page.locator("table .chip.good.dot").first).to_have_text("verified", timeout=WAIT_MS)
        liar.lies["/v1/headers"] = swapped
        await alarmed(guest.page, "FORGED")
        assert liar.told


@at_length
async def test_a_node_of_another_network_is_told_apart_until_the_person_trusts_it(
    page_network: Network, page_browser: Browser, tmp_path: Path
) -> None:
    def strange(answer: Any) -> Any:
        return {**answer, "chain": "ab" * 32}

    async with liar_of(page_network) as liar, Elsewhere(liar.address) as elsewhere:
        guest = await visit(page_browser, "guest", elsewhere.address)
        await go(guest, "explorer/trust")
        genesis = page_network.cluster.directory / "genesis.json"
        await guest.page.locator("#genesis-file").set_input_files(genesis)
        await expect(guest.page.locator("dl.facts").first).to_contain_text("your file", timeout=WAIT_MS)
        liar.lies["/v1/status"] = strange
        assert "another network" in await alarmed(guest.page, "OTHER_NETWORK")
        liar.lies.clear()
        wrong = tmp_path / "wrong.json"
        wrong.write_text('{"v": 3}', encoding="utf-8")
        await guest.page.locator("#genesis-file").set_input_files(wrong)
        await expect(guest.page.get_by_text("This is no genesis file")).to_be_visible()
        await guest.page.get_by_role("button", name="Trust this node's genesis").click()
        await expect(guest.page.locator("#alarm > *")).to_have_count(0, timeout=WAIT_MS)
        await verified(guest.page)
