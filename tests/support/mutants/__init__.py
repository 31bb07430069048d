"""Protocol bugs planted one at a time, and the scenarios that must catch them."""
