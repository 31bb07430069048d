"""The groups of keys, `contract/kind/`, that rules look at, and single keys beside them. What the ledger names itself
is not among them."""

from __future__ import annotations

AUCTION_ASKS, AUCTION_BIDS, AUCTIONED = "auction/ask/", "auction/bid/", "auction/order/"
RUNS, SEALED, UNREVEALED = "auction/run/", "auction/sealed/", "auction/unrevealed/"
AUCTION_SHARES, SIDES = "auction/shares/", "auction/side/"

CHANNELS = "channels/"

ACCOUNTS, POLICIES, TOTAL = "credit/account/", "credit/policy/", "credit/total"

GRID_FEES, PARAMETERS, PRODUCTS = "governance/grid_fee/", "governance/parameter/", "governance/product/"
ORGANISATIONS, ZONES = "governance/organisations", "governance/zone/"
REPORTS, REVOKED = "governance/report/", "governance/revoked/"

ASKS, BIDS, LISTED, TOPS = "market/ask/", "market/bid/", "market/offer/", "market/top/"
LISTINGS, ORDERS = "market/listing/", "market/order/"
MARKET_GATES, SOLD = "market/gate/", "market/sold/"

DIRECTED, OFFERED = "offers/offer/", "offers/count/"
OFFERS_GATES, OFFERS_OPEN = "offers/gate/", "offers/open/"

CERTIFICATES, MINTED = "origin/certificate/", "origin/minted/"

ADMISSION, ARBITER, METERS = "registry/admission", "registry/arbiter", "registry/meter/"

ADJUSTMENTS, DISPUTES, TRADES = "settlement/adjustment/", "settlement/dispute/", "settlement/trade/"
COUNTS, MANDATES, PARTY = "settlement/count/", "settlement/mandate/", "settlement/party/"
READINGS, SUPERSEDED = "settlement/reading/", "settlement/superseded/"
SEQUENCES, SHARES = "settlement/sequence/", "settlement/share/"

OFFERS = (LISTINGS, ORDERS, AUCTIONED, DIRECTED)
"""Where lies what trades are made of."""
