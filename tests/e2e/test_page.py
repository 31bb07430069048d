"""The page in a real browser: keys, verifying, what a lying node is caught at, keyboard, contrast, languages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lying_node import Elsewhere, Liar
from network import Network
from page_people import PASSPHRASE, WAIT_MS, Visitor, visit
from playwright.async_api import Browser, Page, async_playwright, expect

from ca.authority import Authority
from ca.certificates import Role
from ca.keys import SigningKey
from cli.tools import TOOLS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.full,
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
CHECKS = (Path(__file__).resolve().parents[1] / "support" / "page_checks.js").read_text(encoding="utf-8")
NOT_LOOPBACK = "node.example"
"""A name for this machine that no browser takes for it."""
IS_EXTRACTABLE = """async () => {
  const asked = (request) => new Promise((done) => { request.onsuccess = () => done(request.result); });
  const opened = await asked(indexedDB.open("wattquorum"));
  const kept = await asked(opened.transaction("kept").objectStore("kept").get("identity"));
  opened.close();
  const read = crypto.subtle.exportKey("pkcs8", kept.privateKey).then(() => true, () => false);
  return [kept.privateKey.extractable, await read];
}"""


TOO_WIDE = """() => {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const ends = (element) => element.getBoundingClientRect().right;
  const beyond = [...document.querySelectorAll("body *")].filter((element) => ends(element) > innerWidth);
  return beyond.filter((element) => !element.closest(".table, nav")).map((element) => element.outerHTML.slice(0, 200));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    made = Network(tmp_path_factory.mktemp("page") / "net")
    try:
        await made.start()
        await made.admit("alice", "prosumer", 0)
        yield made
    finally:
        await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {NOT_LOOPBACK} 127.0.0.1"]
    async with async_playwright() as driver:
        launched = await driver.chromium.launch(executable_path=TOOLS["chromium"].path(), args=arguments)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _leaving(browser: Browser) -> AsyncIterator[None]:
    """Who has looked goes again: an address has a share of a node's connections, no more."""
    yield
    for context in browser.contexts:
        await context.close()


def url(network: Network, node: int = 1) -> str:
    return network.cluster.rest_url(f"node{node}")


def backup_of(key: SigningKey, file: Path) -> Path:
    """The backup file that the page would have made of a key."""
    salt, iv, iterations = secrets.token_bytes(16), secrets.token_bytes(12), 600_000
    secret = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    wrapping = hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), salt, iterations)
    data = AESGCM(wrapping).encrypt(iv, secret, key.signer.encode())
    text = {name: base64.b64encode(value).decode() for name, value in {"salt": salt, "iv": iv, "data": data}.items()}
    tree = {
        "format": "wattquorum/1 key backup",
        "signer": key.signer,
        "public_key": base64.b64encode(key.public_key).decode(),
        "kdf": {"name": "PBKDF2", "hash": "SHA-256", "iterations": iterations, "salt": text["salt"]},
        "cipher": {"name": "AES-GCM", "iv": text["iv"]},
        "data": text["data"],
    }
    file.write_text(json.dumps(tree), encoding="utf-8")
    return file


def code_for(network: Network, name: str, role: Role) -> str:
    return Authority.open(network.cluster.directory / "ca").new_admission_code(role, name)


async def go(visitor: Visitor, view: str) -> None:
    """To any place of the page, by the address bar, until it is there."""
    await visitor.page.goto(f"{visitor.address}/#/{view}")
    await expect(visitor.page.locator(f"#main[data-shown='/{view}']")).to_be_visible(timeout=WAIT_MS)


async def verified(page: Page) -> None:
    await expect(page.locator("[data-verified]")).to_be_visible(timeout=WAIT_MS)


async def alarmed(page: Page, code: str) -> str:
    alarm = page.locator(f"#alarm [data-alarm={code}]")
    await expect(alarm).to_be_visible(timeout=WAIT_MS)
    return await alarm.inner_text()


# -------------------------------------------------------------------------------------------------- registering


async def test_somebody_registers_and_comes_back_with_the_backup_in_another_browser(
    network: Network, browser: Browser
) -> None:
    mei = await visit(browser, "Mei Chen", url(network))
    backup = await mei.register("Wattquorum", "I buy electricity", code_for(network, "Mei Chen", Role.BUYER))
    await mei.photograph("register-member")
    assert await mei.page.evaluate(IS_EXTRACTABLE) == [False, False]
    signer = await mei.signer()
    text = backup.read_text(encoding="utf-8")
    assert json.loads(text)["signer"] == signer
    assert json.loads(text)["kdf"]["iterations"] >= 600_000
    again = await visit(browser, "Mei Chen", url(network, 3))
    await again.restore(backup)
    await expect(again.page.get_by_role("heading", level=2, name="Mei Chen")).to_be_visible(timeout=WAIT_MS)
    assert await again.signer() == signer
    assert await again.page.evaluate(IS_EXTRACTABLE) == [False, False]


async def test_a_wrong_passphrase_and_a_damaged_backup_restore_nothing(
    network: Network, browser: Browser, tmp_path: Path
) -> None:
    ada = await visit(browser, "Ada", url(network))
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
    other = await visit(browser, "Ada", url(network))
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
    network: Network, browser: Browser
) -> None:
    address = url(network).replace("127.0.0.1", NOT_LOOPBACK)
    guest = await visit(browser, "guest", address)
    await go(guest, "register")
    await expect(guest.page.locator("[data-obstacle=insecure]")).to_contain_text("plain HTTP")
    await expect(guest.page.locator("#strip")).to_contain_text("Not verified: this connection is not secure")
    await guest.photograph("register-insecure")
    await go(guest, "explorer")
    await expect(guest.page.locator("#main")).to_contain_text("nothing here is verified")


# --------------------------------------------------------------------------------------------------- verifying


async def test_the_page_verifies_blocks_by_itself_under_the_genesis_that_it_trusts(
    network: Network, browser: Browser
) -> None:
    guest = await visit(browser, "guest", url(network))
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
    assert await fingerprint.get_attribute("data-fingerprint") == network.genesis.chain_id.hex()
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


@pytest.mark.parametrize("lie", [other_time, other_signature, too_few])
async def test_a_forged_block_is_caught_by_page_files_from_elsewhere(
    network: Network, browser: Browser, lie: Any
) -> None:
    async with Liar(url(network)) as liar, Elsewhere(liar.address) as elsewhere:
        guest = await visit(browser, "guest", elsewhere.address)
        await go(guest, "explorer")
        await verified(guest.page)  # as long as it is honest, all is well
        assert await guest.page.locator("#alarm > *").count() == 0
        liar.lies["/v1/certificates/"] = lie
        assert "This node lies" in await alarmed(guest.page, "FORGED")
        await expect(guest.page.locator("#strip .chip.bad")).to_be_visible()
        await guest.photograph(f"alarm-{lie.__name__}")
        assert liar.told


async def test_a_forged_receipt_is_caught_by_page_files_from_elsewhere(
    network: Network, browser: Browser, tmp_path: Path
) -> None:
    """Alice looks at a transaction of hers; her backup was made outside the page, as its format is no secret."""

    def other_outcome(answer: Any) -> Any:
        answer["proof"]["result"][1] = "REFUSED"
        return answer

    alice = network.people[-1]
    done = alice.acknowledged[0]
    async with Liar(url(network)) as liar, Elsewhere(liar.address) as elsewhere:
        visitor = await visit(browser, "alice", elsewhere.address)
        await visitor.restore(backup_of(alice.key, tmp_path / "alice.json"))
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


async def test_a_forged_receipt_registers_nobody(network: Network, browser: Browser) -> None:
    def succeeded(answer: Any) -> Any:
        answer["receipt"]["result"][2] = "All is well."
        return answer

    async with Liar(url(network)) as liar, Elsewhere(liar.address) as elsewhere:
        eve = await visit(browser, "Eve", elsewhere.address)
        liar.lies["/v1/transactions"] = succeeded
        page = eve.page
        await go(eve, "register")
        await page.get_by_role("button", name="Make my key").click()
        await page.get_by_role("button", name="Go on without a backup").click()
        await page.get_by_label("Name").fill("Eve")
        await page.get_by_label("Organisation").fill("Wattquorum")
        await page.get_by_text("I sell electricity", exact=True).click()
        await page.get_by_label("Code").fill(code_for(network, "Eve", Role.SELLER))
        await page.locator("form button[type=submit]").click()
        assert "receipt" in await alarmed(page, "FORGED")
        await expect(page.locator("[data-entering] .notice.bad")).to_contain_text("proves nothing")
        await eve.photograph("alarm-receipt")
        assert liar.told == ["/v1/transactions"]


async def test_another_block_at_a_height_that_was_verified_is_caught(network: Network, browser: Browser) -> None:
    def swapped(answer: Any) -> Any:
        for header in answer["headers"]:
            header["hash"] = "0" * 64
        return answer

    async with Liar(url(network)) as liar, Elsewhere(liar.address) as elsewhere:
        guest = await visit(browser, "guest", elsewhere.address)
        await go(guest, "explorer")
        await expect(guest.page.locator("table .chip.good.dot").first).to_have_text("verified", timeout=WAIT_MS)
        liar.lies["/v1/headers"] = swapped
        await alarmed(guest.page, "FORGED")
        assert liar.told


async def test_a_node_of_another_network_is_told_apart_until_the_person_trusts_it(
    network: Network, browser: Browser, tmp_path: Path
) -> None:
    def strange(answer: Any) -> Any:
        return {**answer, "chain": "ab" * 32}

    async with Liar(url(network)) as liar, Elsewhere(liar.address) as elsewhere:
        guest = await visit(browser, "guest", elsewhere.address)
        await go(guest, "explorer/trust")
        genesis = network.cluster.directory / "genesis.json"
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


# ------------------------------------------------------------------------------------- everybody can use it


async def paths(page: Page) -> list[str]:
    links = await page.locator("nav a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    return [*links, "#/explorer/block/2", "#/explorer/trust"]


async def looks(browser: Browser, network: Network, **options: Any) -> Visitor:
    visitor = await visit(browser, "guest", url(network), **options)
    await verified(visitor.page)
    return visitor


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_named_ordered_and_readable(network: Network, browser: Browser, scheme: str) -> None:
    guest = await looks(browser, network, color_scheme=scheme)
    for path in await paths(guest.page):
        await go(guest, path.removeprefix("#/"))
        await expect(guest.page.locator("#main h1")).to_have_count(1, timeout=WAIT_MS)
        assert await guest.page.evaluate(CHECKS) == [], path
        await guest.photograph(f"{scheme}-{path.removeprefix('#/').replace('/', '-')}")


@pytest.mark.parametrize("width", [390, 320])
async def test_nothing_is_wider_than_a_phone(network: Network, browser: Browser, width: int) -> None:
    guest = await looks(browser, network)
    await guest.page.set_viewport_size({"width": width, "height": 844})
    for path in await paths(guest.page):
        await go(guest, path.removeprefix("#/"))
        assert await guest.page.evaluate(TOO_WIDE) == [], path
        assert await guest.page.evaluate(CHECKS) == [], path
        await guest.photograph(f"phone-{width}-{path.removeprefix('#/').replace('/', '-')}")


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(network: Network, browser: Browser) -> None:
    guest = await looks(browser, network)
    page = guest.page
    await go(guest, "explorer")
    await page.reload()
    await verified(page)
    await page.keyboard.press("Tab")
    await expect(page.locator("#skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    assert page.url.endswith("#/explorer"), "the skip link is no way to another view"
    await page.keyboard.press("Tab")
    await expect(page.locator("#find")).to_be_focused()
    outline = await page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    await page.keyboard.type("2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="Block 2")).to_be_visible(timeout=WAIT_MS)
    await expect(page.locator("#main")).to_be_focused()


async def test_both_languages_are_whole_and_the_choice_is_kept(network: Network, browser: Browser) -> None:
    guest = await looks(browser, network)
    page = guest.page
    await go(guest, "register")
    await page.get_by_role("button", name="简体中文").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("注册")
    await expect(page.get_by_role("button", name="English")).to_be_focused()
    for path in await paths(page):
        await go(guest, path.removeprefix("#/"))
        assert await page.evaluate("() => document.documentElement.lang") == "zh-CN"
        said = await page.locator("#main").inner_text()
        assert re.search(r"[\u4e00-\u9fff]", said), path
        assert not re.search(r"\b(explorer|register|shell|alarm)\.[a-z]", said), f"{path}: a key instead of its text"
        await guest.photograph(f"zh-{path.removeprefix('#/').replace('/', '-')}")
    await page.reload()
    await expect(page.get_by_role("button", name="English")).to_be_visible(timeout=WAIT_MS)
    async with asyncio.timeout(WAIT_MS / 1000):
        await page.get_by_role("button", name="English").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_the_theme_is_chosen_and_kept(network: Network, browser: Browser) -> None:
    guest = await looks(browser, network, color_scheme="light")
    root = guest.page.locator("html")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = await guest.page.evaluate(ground)
    await guest.page.get_by_role("button", name="Theme: as the system").click()
    await guest.page.get_by_role("button", name="Theme: light").click()
    await expect(root).to_have_attribute("data-theme", "dark")
    assert await guest.page.evaluate(ground) != light
    await guest.page.reload()
    await expect(root).to_have_attribute("data-theme", "dark")
